package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/** Random networks, losses and scales: {@link GradientCheck} passes right gradients and finds wrong ones. */
final class GradientCheckStudyTest {
    private static final long SEED = 41;
    private static final int NETWORKS = 150;
    private static final double TOLERANCE = 1e-5; // GradientCheck says that right gradients have errors below it

    /** The check resolves a change that makes this many times the loss's rounding error in this step. */
    private static final double RESOLVED = 1000;

    private static final double STEP = 0x1p-18;

    /** A user's layer: y = x for x > 0, slope·x elsewhere. */
    private static final class PReLU implements Layer {
        private final Parameter slope;
        private Matrix x;

        PReLU(Matrix slope) {
            this.slope = new Parameter("slope", slope);
        }

        @Override
        public Matrix forward(Matrix x) {
            this.x = x;
            return infer(x);
        }

        @Override
        public Matrix backward(Matrix dy) {
            slope.setGradient(dy.combine(x, (d, v) -> v > 0 ? 0 : d * v).columnSums());
            return bend(dy, x);
        }

        @Override
        public Matrix infer(Matrix x) {
            return bend(x, x);
        }

        @Override
        public List<Parameter> parameters() {
            return List.of(slope);
        }

        private Matrix bend(Matrix values, Matrix x) {
            Matrix s = slope.value();
            return Matrix.generate(
                    x.rows(), x.columns(), (i, j) -> (x.get(i, j) > 0 ? 1 : s.get(0, j)) * values.get(i, j));
        }
    }

    private enum Fault {
        DX_OFF_BY_1_PERCENT,
        PARAMETER_OFF_BY_1_PERCENT,
        BIAS_DIVIDED_BY_ROWS,
        WEIGHT_NOT_TRANSPOSED,
        DW_TRANSPOSED,
        DGAMMA_WITHOUT_X_HAT,
        DH_WITHOUT_MEAN_OF_DY,
        DH_WITHOUT_MEAN_OF_DY_X_HAT,
        MASK_ON_THE_WRONG_SIDE,
        SLOPE_WITHOUT_MASK;

        boolean fits(Layer layer) {
            return switch (this) {
                case DX_OFF_BY_1_PERCENT -> true;
                case PARAMETER_OFF_BY_1_PERCENT -> !layer.parameters().isEmpty();
                case BIAS_DIVIDED_BY_ROWS -> layer instanceof Affine;
                case WEIGHT_NOT_TRANSPOSED, DW_TRANSPOSED ->
                    layer instanceof Affine affine && affine.inputs() == affine.outputs();
                case DGAMMA_WITHOUT_X_HAT, DH_WITHOUT_MEAN_OF_DY, DH_WITHOUT_MEAN_OF_DY_X_HAT ->
                    layer instanceof BatchNorm;
                case MASK_ON_THE_WRONG_SIDE -> layer instanceof ReLU;
                case SLOPE_WITHOUT_MASK -> layer instanceof PReLU;
            };
        }

        /** What the wrong backward returns, given the dx of the right one. */
        Matrix apply(Layer layer, Matrix x, Matrix dy, Matrix dx) {
            return switch (this) {
                case DX_OFF_BY_1_PERCENT -> dx.times(1.01);
                case PARAMETER_OFF_BY_1_PERCENT -> change(layer, 0, gradient -> gradient.times(1.01), dx);
                case BIAS_DIVIDED_BY_ROWS -> change(layer, 1, gradient -> gradient.times(1.0 / x.rows()), dx);
                case WEIGHT_NOT_TRANSPOSED -> dy.times(layer.parameters().get(0).value());
                case DW_TRANSPOSED -> change(layer, 0, Matrix::transpose, dx);
                case DGAMMA_WITHOUT_X_HAT -> change(layer, 0, gradient -> dy.columnSums(), dx);
                case DH_WITHOUT_MEAN_OF_DY -> dx.plusRow(dy.columnMeans().hadamard(gammaByStd(layer, x)));
                case DH_WITHOUT_MEAN_OF_DY_X_HAT -> {
                    Matrix xHat = new BatchNorm(x.columns()).forward(x);
                    Matrix mean = dy.hadamard(xHat).columnMeans();
                    yield dx.plus(new Scale(mean.hadamard(gammaByStd(layer, x))).infer(xHat));
                }
                case MASK_ON_THE_WRONG_SIDE -> dy.combine(x, (d, v) -> v > 0 ? 0 : d);
                case SLOPE_WITHOUT_MASK ->
                    change(layer, 0, gradient -> dy.hadamard(x).columnSums(), dx);
            };
        }

        private static Matrix change(Layer layer, int index, UnaryOperator<Matrix> change, Matrix dx) {
            Parameter parameter = layer.parameters().get(index);
            parameter.setGradient(change.apply(parameter.gradient()));
            return dx;
        }

        private static Matrix gammaByStd(Layer layer, Matrix x) {
            Matrix deviations = x.plusRow(x.columnMeans().times(-1));
            Matrix variance = deviations.hadamard(deviations).columnMeans();
            return layer.parameters().get(0).value().combine(variance, (gamma, v) -> gamma / Math.sqrt(v + 1e-5));
        }
    }

    /** A layer with a fault in its backward. */
    private static final class Faulty extends DelegatingLayer {
        private final Layer layer;
        private final Fault fault;
        private Matrix x;

        Faulty(Layer layer, Fault fault) {
            super(layer);
            this.layer = layer;
            this.fault = fault;
        }

        @Override
        public Matrix forward(Matrix x) {
            this.x = x;
            return super.forward(x);
        }

        @Override
        public Matrix backward(Matrix dy) {
            return fault.apply(layer, x, dy, super.backward(dy));
        }
    }

    private record Objective(ToDoubleFunction<Matrix> loss, UnaryOperator<Matrix> gradient) {
        GradientCheck check(Layer layer, Matrix x) {
            return GradientCheck.run(layer, x, loss, gradient);
        }

        /** Those of x and of the parameters. */
        List<Matrix> gradients(Layer layer, Matrix x) {
            List<Matrix> gradients = new ArrayList<>();
            gradients.add(layer.backward(gradient.apply(layer.forward(x))));
            layer.parameters().forEach(parameter -> gradients.add(parameter.gradient()));
            return gradients;
        }

        /** Of the terms that cancel in the loss, and how much it changes with the last places of its arguments. */
        double rounding(Network network, Matrix x, Random random) {
            Map<String, Matrix> state = network.state();
            Matrix y = network.forward(x);
            double here = loss.applyAsDouble(y);
            double terms = y.hadamard(gradient.apply(y)).map(Math::abs).sum();
            double rounding = 0x1p-53 * (Math.abs(here) + terms);
            for (int i = 0; i < 10; i++) {
                network.parameters().forEach(parameter -> parameter.setValue(shaken(parameter.value(), random)));
                double there = loss.applyAsDouble(network.forward(shaken(x, random)));
                rounding = Math.max(rounding, Math.abs(there - here));
                network.restore(state);
            }
            return rounding;
        }

        private static Matrix shaken(Matrix matrix, Random random) {
            return matrix.map(entry -> entry + (random.nextInt(3) - 1) * Math.ulp(entry));
        }
    }

    private static Matrix gaussian(Random random, int rows, int columns, double std) {
        return Matrix.generate(rows, columns, (i, j) -> std * random.nextGaussian());
    }

    /** From 1e-3 to 1e3. */
    private static double magnitude(Random random) {
        return StrictMath.pow(10, 6 * random.nextDouble() - 3);
    }

    /** The biases are not 0: behind a row of zeros, several kinks could coincide. */
    private static List<Layer> layers(Random random, int inputs) {
        double std = random.nextBoolean() ? 1 : magnitude(random);
        List<Layer> layers = new ArrayList<>();
        int width = inputs;
        for (int count = 1 + random.nextInt(5); count > 0; count--) {
            int kind = random.nextInt(5);
            if (kind < 2) {
                int outputs = random.nextInt(3) == 0 ? width : 1 + random.nextInt(6);
                layers.add(new Affine(gaussian(random, width, outputs, std), gaussian(random, 1, outputs, std)));
                width = outputs;
            } else if (kind == 2) {
                BatchNorm norm = new BatchNorm(width);
                norm.gamma().setValue(gaussian(random, 1, width, 1));
                norm.beta().setValue(gaussian(random, 1, width, 1));
                layers.add(norm);
            } else {
                layers.add(kind == 3 ? new ReLU() : new PReLU(gaussian(random, 1, width, 0.5)));
            }
        }
        return layers;
    }

    private static Objective objective(Random random, Matrix y0) {
        Matrix weights = gaussian(random, y0.rows(), y0.columns(), magnitude(random));
        Matrix targets = weights.map(weight -> random.nextDouble());
        ToDoubleFunction<Matrix> halfSquares = y -> y.hadamard(y).sum() / 2;
        ToDoubleFunction<Matrix> weighted = y -> y.hadamard(weights).sum();
        double weightedHere = weighted.applyAsDouble(y0);
        return switch (random.nextInt(y0.columns() == 1 ? 7 : 8)) {
            case 0 -> new Objective(Matrix::sum, y -> y.map(entry -> 1));
            case 1 -> new Objective(weighted, y -> weights);
            case 2 -> new Objective(y -> weighted.applyAsDouble(y) - weightedHere, y -> weights);
            case 3 -> new Objective(halfSquares, y -> y);
            case 4 -> new Objective(y -> halfSquares.applyAsDouble(y) + 1e3, y -> y);
            case 5 -> of(y -> Loss.meanSquaredError(y, targets));
            case 6 -> of(y -> Loss.binaryCrossEntropy(y, targets));
            default -> of(y -> Loss.softmaxCrossEntropy(y, targets));
        };
    }

    private static Objective of(Function<Matrix, Loss> loss) {
        return new Objective(y -> loss.apply(y).value(), y -> loss.apply(y).gradient());
    }

    private static boolean isResolved(List<Matrix> right, List<Matrix> wrong, double rounding) {
        for (int k = 0; k < right.size(); k++) {
            double[] a = right.get(k).toArray();
            double[] b = wrong.get(k).toArray();
            for (int i = 0; i < a.length; i++) {
                double change = Math.abs(a[i] - b[i]);
                if (change * STEP > RESOLVED * rounding && change > 1e-3 * Math.max(Math.abs(a[i]), Math.abs(b[i]))) {
                    return true;
                }
            }
        }
        return false;
    }

    @Test
    void run_randomNetworks_rightGradientsPassAndFaultsAreFound() {
        Map<Fault, Integer> found = new EnumMap<>(Fault.class);
        for (long seed = SEED; seed < SEED + NETWORKS; seed++) {
            Random random = new Random(seed);
            double mean = random.nextInt(4) == 0 ? 1e4 : 0;
            Matrix x = gaussian(random, 2 + random.nextInt(7), 1 + random.nextInt(6), magnitude(random))
                    .map(entry -> entry + mean);
            List<Layer> layers = layers(random, x.columns());
            Network network = new Network(layers.toArray(Layer[]::new));
            Objective objective = objective(random, network.forward(x));
            GradientCheck check = objective.check(network, x);
            assertThat(check.worstError()).as("seed %d: %s", seed, check).isBetween(0.0, TOLERANCE);
            assertThat(check.skipped()).as("seed %d: %s", seed, check).isZero();

            List<Matrix> right = objective.gradients(network, x);
            double rounding = objective.rounding(network, x, random);
            for (Fault fault : Fault.values()) {
                int place = random.nextInt(layers.size());
                if (fault.fits(layers.get(place))) {
                    Layer[] faulty = layers.toArray(Layer[]::new);
                    faulty[place] = new Faulty(layers.get(place), fault);
                    Network wrong = new Network(faulty);
                    if (isResolved(right, objective.gradients(wrong, x), rounding)) {
                        GradientCheck checkOfWrong = objective.check(wrong, x);
                        assertThat(checkOfWrong.worstError())
                                .as("seed %d, %s: %s", seed, fault, checkOfWrong)
                                .isGreaterThan(TOLERANCE);
                        found.merge(fault, 1, Integer::sum);
                    }
                }
            }
        }
        assertThat(found)
                .containsOnlyKeys(Fault.values())
                .allSatisfy((fault, times) -> assertThat(times).as("%s", fault).isGreaterThan(NETWORKS / 20));
    }
}
