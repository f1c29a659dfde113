package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.GradientCheck;
import io.github.backnorm.Layer;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.Parameter;
import java.util.List;
import java.util.Random;

/** Checks the gradients of a layer of its own, parametric ReLU, and trains a network with it. */
public final class OwnLayer {
    /** y = x where x > 0 and slope·x elsewhere; each column learns its slope (He et al. 2015). */
    static final class PReLU implements Layer {
        private final Parameter slope;
        private Pass pass;

        /** What backward needs: the input, and the slope that was used. */
        private record Pass(Matrix x, Matrix slope) {}

        PReLU(int features) {
            slope = new Parameter("slope", Matrix.filled(1, features, 0.25));
        }

        @Override
        public Matrix forward(Matrix x) {
            pass = null; // a forward that fails leaves none
            Matrix y = bend(x, x, slope.value());
            pass = new Pass(x, slope.value());
            return y;
        }

        @Override
        public Matrix backward(Matrix dy) {
            if (pass == null) {
                throw new IllegalStateException("PReLU.backward: no forward pass to differentiate");
            }
            slope.setGradient(dy.combine(pass.x, (d, x) -> x > 0 ? 0 : d * x).columnSums());
            return bend(dy, pass.x, pass.slope);
        }

        @Override
        public Matrix infer(Matrix x) {
            return bend(x, x, slope.value());
        }

        @Override
        public List<Parameter> parameters() {
            return List.of(slope);
        }

        private static Matrix bend(Matrix values, Matrix x, Matrix slope) {
            if (x.columns() != slope.columns()) {
                throw new IllegalArgumentException(
                        "PReLU: x has " + x.columns() + " columns, expected " + slope.columns());
            }
            return Matrix.generate(x.rows(), x.columns(), (row, column) -> {
                double factor = x.get(row, column) > 0 ? 1 : slope.get(0, column);
                return factor * values.get(row, column);
            });
        }
    }

    public static void main(String[] args) {
        Random random = new Random(1);
        Matrix sample = Matrix.generate(5, 4, (row, column) -> 2 * random.nextDouble() - 1);
        System.out.println(
                GradientCheck.run(new PReLU(4), sample, y -> y.hadamard(y).sum() / 2, y -> y));

        Network network = new Network(
                new Affine(1, 16, random), new BatchNorm(16), new PReLU(16), Affine.outputLayer(16, 1, random));

        Matrix x = Matrix.generate(64, 1, (row, column) -> row / 63.0);
        Matrix target = x.map(value -> Math.abs(value - 0.5));
        Optimizer optimizer = Optimizer.sgd(0.1);
        for (int step = 0; step <= 300; step++) {
            Loss loss = Loss.meanSquaredError(network.forward(x), target);
            if (step % 100 == 0) {
                System.out.println("step " + step + ": mean squared error " + loss.value());
            }
            network.backwardParameters(loss.gradient());
            optimizer.step(network.parameters());
        }
        System.out.println("slopes: " + network.state().get("2.slope"));
    }
}
