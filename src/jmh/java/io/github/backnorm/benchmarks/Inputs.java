package io.github.backnorm.benchmarks;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Parameter;
import io.github.backnorm.ReLU;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Random numbers that float32 has too, so that every contender computes with the same. */
final class Inputs {
    private static final float EPSILON = 1e-5f; // a float in DJL
    private static final double MOMENTUM = 0.1;

    private final Random random = new Random(1);

    /** The numbers that a label separates by x or -. */
    static int[] numbers(String label) {
        return Arrays.stream(label.split("[x-]")).mapToInt(Integer::parseInt).toArray();
    }

    /** Entries in ±1. */
    Matrix matrix(int rows, int columns) {
        return Matrix.generate(rows, columns, (row, column) -> uniform());
    }

    /** A layer for batches with so many columns; the affine one has as many outputs. */
    Layer layer(String type, int columns) {
        return randomized(
                switch (type) {
                    case "Affine" -> new Affine(columns, columns, random);
                    case "BatchNorm" -> new BatchNorm(columns, EPSILON, MOMENTUM);
                    case "ReLU" -> new ReLU();
                    default -> throw new IllegalArgumentException(type);
                });
    }

    /** Affine, batch norm and ReLU for each hidden width, then an affine layer. */
    Network network(int... widths) {
        List<Layer> layers = new ArrayList<>();
        int last = widths.length - 1;
        for (int i = 1; i < last; i++) {
            layers.add(new Affine(widths[i - 1], widths[i], random));
            layers.add(new BatchNorm(widths[i], EPSILON, MOMENTUM));
            layers.add(new ReLU());
        }
        layers.add(new Affine(widths[last - 1], widths[last], random));
        return randomized(new Network(layers.toArray(Layer[]::new)));
    }

    /** Moves all parameters off the zeros and ones that they start at. */
    private <L extends Layer> L randomized(L layer) {
        for (Parameter parameter : layer.parameters()) {
            parameter.setValue(parameter.value().map(entry -> (float) (entry + 0.1 * uniform())));
        }
        return layer;
    }

    private float uniform() {
        return (float) (2 * random.nextDouble() - 1);
    }
}
