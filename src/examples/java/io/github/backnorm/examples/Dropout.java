package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.GradientCheck;
import io.github.backnorm.Layer;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import java.util.Random;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;

/**
 * In training, sets each entry to 0 with a given probability and scales up the others, so that their mean stays; in
 * inference does nothing (Srivastava et al. 2014). As a program: checks its gradients, and trains a network with it.
 */
public final class Dropout implements Layer {
    private final double probability;
    private final Supplier<RandomGenerator> generators;
    private Matrix mask;

    /** Each forward asks for a generator: one and the same in training, for a check always a new one of one seed. */
    Dropout(double probability, Supplier<RandomGenerator> generators) {
        if (!(probability >= 0 && probability < 1)) {
            throw new IllegalArgumentException(
                    "Dropout: probability is " + probability + ", expected 0 to less than 1");
        }
        this.probability = probability;
        this.generators = generators;
    }

    @Override
    public Matrix forward(Matrix x) {
        mask = null; // a forward that fails leaves none
        RandomGenerator random = generators.get();
        double factor = 1 / (1 - probability);
        Matrix drawn =
                Matrix.generate(x.rows(), x.columns(), (row, column) -> random.nextDouble() < probability ? 0 : factor);
        Matrix y = x.hadamard(drawn);
        mask = drawn;
        return y;
    }

    @Override
    public Matrix backward(Matrix dy) {
        if (mask == null) {
            throw new IllegalStateException("Dropout.backward: no forward pass to differentiate");
        }
        return dy.hadamard(mask);
    }

    @Override
    public Matrix infer(Matrix x) {
        return x;
    }

    public static void main(String[] args) {
        Random random = new Random(1);
        Matrix sample = Matrix.generate(5, 4, (row, column) -> 2 * random.nextDouble() - 1);
        Dropout fixed = new Dropout(0.5, () -> new Random(2)); // the same mask each time
        System.out.println(GradientCheck.run(fixed, sample, y -> y.hadamard(y).sum() / 2, y -> y));

        Network network = new Network(
                new Affine(1, 64, random),
                new BatchNorm(64),
                new ReLU(),
                new Dropout(0.2, () -> random),
                Affine.outputLayer(64, 1, random));

        Matrix x = Matrix.generate(64, 1, (row, column) -> row / 63.0);
        Matrix target = x.map(value -> Math.abs(value - 0.5));
        Optimizer optimizer = Optimizer.adam(0.01);
        for (int step = 0; step <= 300; step++) {
            Loss loss = Loss.meanSquaredError(network.forward(x), target);
            if (step % 100 == 0) {
                System.out.println("step " + step + ": mean squared error " + loss.value());
            }
            network.backwardParameters(loss.gradient());
            optimizer.step(network.parameters());
        }

        Network served = new Network(network.layers().stream()
                        .filter(layer -> !(layer instanceof Dropout))
                        .toArray(Layer[]::new))
                .folded();
        System.out.println("served: mean squared error "
                + Loss.meanSquaredError(served.infer(x), target).value());
    }
}
