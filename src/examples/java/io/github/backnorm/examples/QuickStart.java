package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import java.util.Random;

/** Teaches a small network to tell whether the signs of two numbers differ. */
public final class QuickStart {
    public static void main(String[] args) {
        Random random = new Random(1);
        Matrix x = Matrix.generate(256, 2, (row, column) -> 2 * random.nextDouble() - 1); // a row is a sample
        Matrix target = Matrix.generate(256, 1, (row, column) -> x.get(row, 0) * x.get(row, 1) < 0 ? 1 : 0);

        Network network = new Network(
                new Affine(2, 16, random), new BatchNorm(16), new ReLU(), Affine.outputLayer(16, 1, random));
        Optimizer optimizer = Optimizer.sgd(0.1);

        for (int step = 0; step < 1000; step++) {
            Loss loss = Loss.meanSquaredError(network.forward(x), target);
            network.backwardParameters(loss.gradient());
            optimizer.step(network.parameters());
        }

        Matrix corners = Matrix.ofRows(new double[][] {{0.7, 0.7}, {-0.7, 0.7}, {0.7, -0.7}, {-0.7, -0.7}});
        System.out.println(network.infer(corners).map(Math::round)); // 4x1 [[0.0], [1.0], [1.0], [0.0]]
    }
}
