package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import java.util.Random;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class GradientCheckTest {
    private static final long SEED = 31;
    private static final Matrix X = Matrices.uniform(5, 3, SEED);
    private static final UnaryOperator<Matrix> LOSS_GRADIENT = UnaryOperator.identity(); // of the loss below

    private static double loss(Matrix y) {
        return y.hadamard(y).sum() / 2;
    }

    /** y = f(x) entry by entry, with dx = dy·slope(x, y). */
    private static Layer function(DoubleUnaryOperator f, DoubleBinaryOperator slope) {
        return new Layer() {
            private Matrix x;

            @Override
            public Matrix forward(Matrix x) {
                this.x = x;
                return infer(x);
            }

            @Override
            public Matrix backward(Matrix dy) {
                return dy.hadamard(x.combine(infer(x), slope));
            }

            @Override
            public Matrix infer(Matrix x) {
                return x.map(f);
            }
        };
    }

    /** Another layer with something done to the dx and the gradients of its backward. */
    private static final class Altered extends DelegatingLayer {
        private final UnaryOperator<Matrix> afterBackward;

        Altered(Layer layer, UnaryOperator<Matrix> afterBackward) {
            super(layer);
            this.afterBackward = afterBackward;
        }

        @Override
        public Matrix backward(Matrix dy) {
            return afterBackward.apply(super.backward(dy));
        }
    }

    private static Network network() {
        return new Network(
                new Affine(Matrices.uniform(3, 4, SEED + 1), Matrices.uniform(1, 4, SEED + 2)),
                new BatchNorm(4),
                new ReLU(),
                new Network(new Scale(Matrices.uniform(1, 4, SEED + 3)), new BatchNorm(4, 1e-3, 0.5)));
    }

    @Test
    void run_rightGradients_smallErrorAndStateAsBefore() {
        Network network = network();
        Map<String, Matrix> before = network.state();
        GradientCheck check = GradientCheck.run(network, X, GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(check.worstError()).as("seed %d: %s", SEED, check).isBetween(0.0, 1e-6);
        assertThat(check.entries()).isEqualTo(5 * 3 + 3 * 4 + 4 + 4 + 4 + 4 + 4 + 4);
        assertThat(network.state()).isEqualTo(before);
    }

    /** The sum of y is 0 whatever x is, and so says nothing of the rounding errors in it. */
    @Test
    void run_lossCancels_roundingOfItsTermsIsNoError() {
        assertRightGradientsOfSum(Matrix.of(3, 1, 1, 2, 4));
        for (long seed = SEED; seed < SEED + 200; seed++) { // of two rows, the computed y too may sum to exactly 0
            assertRightGradientsOfSum(Matrices.uniform(2, 1, seed).times(3));
        }
    }

    private static void assertRightGradientsOfSum(Matrix x) {
        GradientCheck check = GradientCheck.run(new BatchNorm(1), x, Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.worstError()).as("%s: %s", x, check).isBetween(0.0, 1e-5);
        assertThat(check.skipped()).as("%s: %s", x, check).isZero();
    }

    /** x, off by {@code c·u} or so. */
    private static double withCancellation(double x, double c) {
        return c * x - (c - 1) * x;
    }

    /** The rounding errors of D are larger than the gradient's part that counts as an error. */
    @Test
    void run_layerCancels_roundingOfItsTermsIsNoError() {
        GradientCheck check = GradientCheck.run(
                function(x -> withCancellation(x, 1e9 / 7), (x, y) -> 1), X, Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.worstError()).as("seed %d: %s", SEED, check).isBetween(0.0, 1e-5);
        assertThat(check.skipped()).isZero();

        GradientCheck wrong = GradientCheck.run( // by far more than 100·ε/h
                function(x -> withCancellation(x, 1e6 / 7), (x, y) -> 1.01), X, Matrix::sum, y -> y.map(value -> 1));
        assertThat(wrong.worstError()).as("seed %d: %s", SEED, wrong).isGreaterThan(1e-5);
    }

    @Test
    void run_parameterCancels_roundingOfItsTermsIsNoError() {
        Scale scale = new Scale(Matrices.uniform(1, 3, SEED));
        Layer layer = new DelegatingLayer(scale) {
            @Override
            public Matrix forward(Matrix x) {
                super.forward(x);
                return x.hadamard(scale.factor().value().map(s -> withCancellation(s, 1e9 / 7)));
            }
        };
        GradientCheck check = GradientCheck.run(layer, Matrix.ofRow(1, 2, 3), Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.worstError()).as("seed %d: %s", SEED, check).isBetween(0.0, 1e-5);
        assertThat(check.skipped()).isZero();
    }

    /** Softmax leaves such a score out; its gradient is 0. */
    @Test
    void run_scoreOfMinusInfinity_othersChecked() {
        Layer mask = function(x -> x < 0 ? Double.NEGATIVE_INFINITY : x, (x, y) -> x < 0 ? 0 : 1);
        GradientCheck check = GradientCheck.run(
                mask,
                Matrix.ofRow(1, -1, 3),
                y -> Loss.softmaxCrossEntropy(y, 2).value(),
                y -> Loss.softmaxCrossEntropy(y, 2).gradient());
        assertThat(check.worstError()).as("%s", check).isBetween(0.0, 1e-5);
        assertThat(check.skipped()).isZero();
    }

    @ParameterizedTest
    @CsvSource({"1.0001, 1e-4", "0.99, 1e-2", "0, 1", "-1, 2"})
    void run_gradientOffByAFactor_errorFound(double factor, double error) {
        GradientCheck check = GradientCheck.run(
                function(Math::sin, (x, y) -> factor * Math.cos(x)), X, GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(check.worstError()).isBetween(0.9 * error, 1.1 * error);
        assertThat(check.skipped()).isZero();
    }

    @Test
    void run_wrongParameterGradient_placeIsNamed() {
        Affine wrong = new Affine(Matrices.uniform(4, 2, SEED + 4), Matrices.uniform(1, 2, SEED + 5));
        Layer layer = new Altered(wrong, dx -> {
            Matrix db = wrong.bias().gradient();
            wrong.bias().setGradient(db.plus(Matrix.ofRow(0, db.get(0, 1))));
            return dx;
        });
        Network network = new Network(new Affine(3, 4, new Random(SEED)), new Network(layer));
        GradientCheck check = GradientCheck.run(network, X, GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(check.worstPlace()).as("seed %d", SEED).isEqualTo("1.0.bias[0,1]");
        assertThat(check.worstError()).as("seed %d", SEED).isBetween(0.49, 0.51);
        assertThat(check).hasToString("worst relative error 5.0e-01 at 1.0.bias[0,1], 41 entries, 0 at kinks");
    }

    @Test
    void run_wrongLossGradient_found() {
        GradientCheck check = GradientCheck.run(new ReLU(), X, GradientCheckTest::loss, y -> y.times(1.01));
        assertThat(check.worstError()).isBetween(0.009, 0.011);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -0.0})
    void run_entryAtKink_skipped(double zero) {
        Matrix x = Matrix.of(2, 2, zero, 1, -1, 2);
        ToDoubleFunction<Matrix> sum = y -> y.sum() + 1;
        UnaryOperator<Matrix> ones = y -> y.map(value -> 1);
        GradientCheck check = GradientCheck.run(new ReLU(), x, sum, ones);
        assertThat(check.skipped()).isEqualTo(1);
        assertThat(check.worstError()).isLessThan(1e-6);

        GradientCheck wrong =
                GradientCheck.run(function(v -> Math.max(v, 0), (v, y) -> v > 0 ? 1 : v < 0 ? 0 : 2), x, sum, ones);
        assertThat(wrong.skipped()).as("2 is not between the slopes 0 and 1").isZero();
        assertThat(wrong.worstPlace()).isEqualTo("x[0,0]");
    }

    /** The middle of the slopes is D itself. */
    @ParameterizedTest
    @CsvSource({"1, 3, 1.5", "3, 1, 2.5", "-3, -1, -1.5", "-1, 2, 0", "1, 3, 1", "1, 3, 3", "1, 1.01, 1.002"})
    void run_gradientBetweenSlopesOfKink_skipped(double left, double right, double gradient) {
        GradientCheck check = runAtKink(left, right, gradient);
        assertThat(check.skipped()).as("%s", check).isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({"1, 3, 0.9", "1, 3, 3.1", "-3, -1, 2", "-1, 2, 2.001", "1, 1.01, 1.011"})
    void run_gradientOutsideSlopesOfKink_found(double left, double right, double gradient) {
        GradientCheck check = runAtKink(left, right, gradient);
        assertThat(check.skipped()).as("%s", check).isZero();
        assertThat(check.worstError()).isGreaterThan(1e-5);
    }

    private static GradientCheck runAtKink(double left, double right, double gradient) {
        Layer kink = function(x -> (x < 0 ? left : right) * x, (x, y) -> gradient);
        return GradientCheck.run(kink, Matrix.zeros(1, 1), y -> y.sum() + 1, y -> y.map(value -> 1));
    }

    /** A step in proportion to 1 would be lost beside such entries. */
    @Test
    void run_largeEntries_stepsInProportion() {
        GradientCheck check =
                GradientCheck.run(new ReLU(), Matrix.ofRow(1e6, -1e12, 1e100), Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.worstError()).as("%s", check).isBetween(0.0, 1e-7);
        assertThat(check.skipped()).isZero();
    }

    @Test
    void run_equalErrors_firstPlaceIsNamed() {
        GradientCheck check = GradientCheck.run(
                function(x -> x, (x, y) -> 0), Matrix.ofRow(1, 2, 4), Matrix::sum, y -> y.map(value -> 1));
        assertThat(check).hasToString("worst relative error 1.0e+00 at x[0,0], 3 entries, 0 at kinks");
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-7, -1e-7, 3e-6, -4e-6})
    void run_entryNearKink_checkedWithSmallerStep(double near) {
        Matrix x = Matrix.of(2, 2, near, 1, -1, 2);
        GradientCheck check = GradientCheck.run(new ReLU(), x, Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.skipped()).isZero();
        assertThat(check.worstError()).isLessThan(1e-6);
    }

    @Test
    void run_allEntriesAtKinks_nothingChecked() {
        GradientCheck check =
                GradientCheck.run(new ReLU(), Matrix.zeros(1, 2), y -> y.sum() + 1, y -> y.map(value -> 1));
        assertThat(check.skipped()).isEqualTo(2);
        assertThat(check.worstError()).isNaN();
    }

    /** Slopes on both sides of the minimum differ, but the less the smaller the step. */
    @Test
    void run_wrongGradientNearMinimum_noKink() {
        Matrix nearMinimum = Matrix.of(2, 1, 1e-9, -2e-9);
        GradientCheck check =
                GradientCheck.run(function(x -> x * x, (x, y) -> 0), nearMinimum, Matrix::sum, y -> y.map(value -> 1));
        assertThat(check.skipped()).isZero();
        assertThat(check.worstError()).isBetween(0.99, 1.01);

        Layer wrong = new Altered(new BatchNorm(2), dx -> dx.times(1.001));
        Matrix tiny = Matrices.uniform(4, 2, SEED).times(1e-7);
        GradientCheck off = GradientCheck.run(wrong, tiny, GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(off.skipped()).isZero();
        assertThat(off.worstError()).isBetween(0.9e-3, 1.1e-3);
    }

    /** A layer made of others may have parameters of one name: each is checked. */
    @Test
    void run_parametersOfOneName_allChecked() {
        Network inner = new Network(new Affine(3, 3, new Random(SEED)), new Affine(3, 2, new Random(SEED + 1)));
        Parameter first = inner.parameters().get(0);
        Layer composite = new Altered(inner, dx -> {
            first.setGradient(first.gradient().times(-3));
            return dx;
        });
        GradientCheck check = GradientCheck.run(composite, X, GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(check.entries()).isEqualTo(5 * 3 + 3 * 3 + 3 + 3 * 2 + 2);
        assertThat(check.worstError()).isGreaterThan(1);
    }

    @Test
    void run_gradientNaN_reported() {
        GradientCheck check = GradientCheck.run(
                function(Math::sin, (x, y) -> x == X.get(1, 1) ? Double.NaN : Math.cos(x)),
                X,
                GradientCheckTest::loss,
                LOSS_GRADIENT);
        assertThat(check.worstError()).isNaN();
        assertThat(check.worstPlace()).isEqualTo("x[1,1]");
    }

    @Test
    void run_layerRefusesOrShapeIsWrong_stateAsBefore() {
        Network network = network();
        Map<String, Matrix> before = network.state();
        assertThatThrownBy(() -> GradientCheck.run(network, X.row(0), GradientCheckTest::loss, LOSS_GRADIENT))
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Network.forward: layer 1 (BatchNorm): x has 1 row, expected at least 2 because one row has no"
                                + " variance; use infer for single rows");
        assertThatThrownBy(() -> GradientCheck.run(network, X, GradientCheckTest::loss, Matrix::transpose))
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage("Network.backward: dy is 4x5, expected 5x4");
        assertThat(network.state()).isEqualTo(before);
    }

    @Test
    void run_dxOfAnotherShape_refusedAndStateAsBefore() {
        Affine affine = new Affine(3, 4, new Random(SEED));
        Map<String, Matrix> before = affine.state();
        Layer wrong = new Altered(affine, Matrix::transpose);
        assertThatThrownBy(() -> GradientCheck.run(wrong, X, GradientCheckTest::loss, LOSS_GRADIENT))
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage("GradientCheck.run: gradient of x is 3x5, expected 5x3");
        assertThat(affine.state()).isEqualTo(before);
    }

    @Test
    void run_nothingToCheck_saysSo() {
        GradientCheck check = GradientCheck.run(new ReLU(), Matrix.zeros(0, 3), GradientCheckTest::loss, LOSS_GRADIENT);
        assertThat(check.worstError()).isNaN();
        assertThat(check).hasToString("worst relative error NaN at none, 0 entries, 0 at kinks");
    }

    @Test
    void run_null_rejected() {
        assertThatThrownBy(() -> GradientCheck.run(null, X, GradientCheckTest::loss, LOSS_GRADIENT))
                .isExactlyInstanceOf(NullPointerException.class)
                .hasMessage("GradientCheck.run: layer is null, expected a value");
    }

    @Test
    void run_singlePrecision_refused() {
        Network network = new Network(new ReLU(), new Network(new Affine(2, 2, new Random(1))));
        GradientCheck.run(network, Matrix.zeros(2, 2), Matrix::sum, y -> Matrix.filled(2, 2, 1));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> GradientCheck.run(
                        network.withPrecision(Precision.SINGLE), Matrix.zeros(2, 2), Matrix::sum, y -> y))
                .withMessage("GradientCheck.run: layer is in single precision, expected double, for differences need"
                        + " its digits; check withPrecision(Precision.DOUBLE)");
    }
}
