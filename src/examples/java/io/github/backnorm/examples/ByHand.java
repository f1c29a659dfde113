package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.Parameter;
import io.github.backnorm.ReLU;
import java.util.Locale;
import java.util.Random;

/** Trains a network with Loss and Optimizer, and its twin with what is inside them. */
public final class ByHand {
    private static final double RATE = 0.3;

    /** Row by row, shifted by the largest score so that nothing overflows. */
    static Matrix softmax(Matrix scores) {
        int[] largest = scores.argMaxOfRows();
        Matrix exp = Matrix.generate(
                scores.rows(),
                scores.columns(),
                (row, column) -> StrictMath.exp(scores.get(row, column) - scores.get(row, largest[row])));
        Matrix sums = exp.rowSums();
        return Matrix.generate(exp.rows(), exp.columns(), (row, column) -> exp.get(row, column) / sums.get(row, 0));
    }

    /** The mean over the rows of −log of the probability that the right class was given. */
    static double crossEntropy(Matrix probabilities, Matrix targets) {
        Matrix ofRightClass = probabilities.hadamard(targets).rowSums();
        return -ofRightClass.map(StrictMath::log).sum() / targets.rows();
    }

    static double step(Network network, Matrix x, Matrix targets) {
        Matrix probabilities = softmax(network.forward(x));
        // gradient of the mean cross-entropy with respect to the scores
        network.backwardParameters(probabilities.minus(targets).times(1.0 / x.rows()));
        for (Parameter parameter : network.parameters()) {
            parameter.setValue(parameter.value().plusScaled(-RATE, parameter.gradient()));
        }
        return crossEntropy(probabilities, targets);
    }

    private static Network newNetwork() {
        Random random = new Random(1);
        return new Network(new Affine(2, 16, random), new BatchNorm(16), new ReLU(), Affine.outputLayer(16, 2, random));
    }

    public static void main(String[] args) {
        Random random = new Random(2);
        Matrix x = Matrix.generate(256, 2, (row, column) -> 2 * random.nextDouble() - 1);
        Matrix targets =
                Matrix.generate(256, 2, (row, column) -> x.get(row, 0) * x.get(row, 1) < 0 == (column == 0) ? 1 : 0);
        Network network = newNetwork();
        Network twin = newNetwork();
        Optimizer optimizer = Optimizer.sgd(RATE);
        double difference = 0;
        for (int i = 0; i < 100; i++) {
            Loss loss = Loss.softmaxCrossEntropy(network.forward(x), targets);
            network.backwardParameters(loss.gradient());
            optimizer.step(network.parameters());
            difference = Math.max(difference, Math.abs(loss.value() - step(twin, x, targets)));
        }
        System.out.printf(Locale.ROOT, "largest difference between the losses: %.0e%n", difference);
    }
}
