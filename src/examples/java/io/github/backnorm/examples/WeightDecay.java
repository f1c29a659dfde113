package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.Parameter;
import io.github.backnorm.ReLU;
import java.util.List;
import java.util.Random;

/** Trains with Adam, weights that decay, other parameters that do not, clipped gradients, and a rate that falls. */
public final class WeightDecay {
    private static final int STEPS = 300;

    public static void main(String[] args) {
        Random random = new Random(3);
        Matrix x = Matrix.generate(128, 3, (row, column) -> 2 * random.nextDouble() - 1);
        Matrix target = Matrix.generate(128, 1, (row, column) -> x.get(row, 0) * x.get(row, 1) + x.get(row, 2));
        Network network = new Network(
                new Affine(3, 32, random), new BatchNorm(32), new ReLU(), Affine.outputLayer(32, 1, random));

        List<Parameter> weights = network.parameters().stream()
                .filter(parameter -> parameter.name().equals("weight"))
                .toList();
        List<Parameter> others = network.parameters().stream()
                .filter(parameter -> !parameter.name().equals("weight"))
                .toList();
        Optimizer decaying = Optimizer.adam(0.01).withWeightDecay(0.1);
        Optimizer plain = Optimizer.adam(0.01);

        for (int step = 1; step <= STEPS; step++) {
            double rate = 0.01 * (1 - (double) step / (STEPS + 1));
            decaying.setRate(rate);
            plain.setRate(rate);

            Loss loss = Loss.meanSquaredError(network.forward(x), target);
            network.backwardParameters(loss.gradient());
            Parameter.clipGradients(network.parameters(), 1.0);
            decaying.step(weights);
            plain.step(others);
            if (step % 100 == 0) {
                System.out.println("step " + step + ": mean squared error " + loss.value());
            }
        }
    }
}
