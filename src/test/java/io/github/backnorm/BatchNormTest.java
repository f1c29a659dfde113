package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.LayerTest.Refusal;
import io.github.backnorm.internal.Waiting;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Where a test computes with doubles itself, it and the library are each within {@code n·u} times the sizes of the
 * terms, n being the roundings on the way: three chains over the rows (mean, variance, last sum) and fewer than
 * {@value #SINGLE_ROUNDINGS} operations besides. A deviation {@code d = h − μ} of entries below 1 has an error relative
 * to 1 and not to itself, so that its size is {@code |d| + 1}.
 */
final class BatchNormTest {
    private static final double U = 0x1p-53;
    private static final int SINGLE_ROUNDINGS = 20;

    /** Column 0: μ = 2, σ² = 4, with ε = 12 v = 1/√16, ĥ = (−½, ½); column 1: μ = 4, σ² = 4, ĥ = (½, −½). */
    private static final Matrix X = Matrix.of(2, 2, 0, 6, 4, 2);

    private static BatchNorm layer() {
        return layer(12, Matrix.ofRow(2, -4), Matrix.ofRow(1, 0.5));
    }

    private static BatchNorm layer(double epsilon, Matrix gamma, Matrix beta) {
        BatchNorm layer = new BatchNorm(gamma.columns(), epsilon, 0.5);
        layer.gamma().setValue(gamma);
        layer.beta().setValue(beta);
        return layer;
    }

    /** Three features, γ with a zero and a negative entry. */
    private static BatchNorm layer(double epsilon, long seed) {
        return layer(epsilon, Matrix.ofRow(-1.5, 0, 0.75), Matrices.uniform(1, 3, seed));
    }

    private static double tolerance(int batch, double size) {
        return 2 * (3 * batch + SINGLE_ROUNDINGS) * U * size; // 2: the library's error and the test's
    }

    /** A column, as a row. */
    private static Matrix column(Matrix matrix, int column) {
        return matrix.transpose().row(column);
    }

    @Test
    void forward_handComputed_normalizesWithBiasedVarianceAndMovesByUnbiased() {
        BatchNorm layer = layer();

        // 2·(∓½) + 1 and −4·(±½) + ½
        assertThat(layer.forward(X)).isEqualTo(Matrix.of(2, 2, 0, -1.5, 2, 2.5));
        // ½·0 + ½·μ, and ½·1 + ½·8 with the unbiased variance σ²·2/1
        assertThat(layer.runningMean()).isEqualTo(Matrix.ofRow(1, 2));
        assertThat(layer.runningVariance()).isEqualTo(Matrix.ofRow(4.5, 4.5));
    }

    @Test
    void backward_handComputedTwoRows_gradients() {
        BatchNorm layer = layer();
        layer.forward(X);

        Matrix dh = layer.backward(Matrix.of(2, 2, 3, 0, 1, 4));

        // Column 0: 3·(−½) + 1·½; column 1: 0·½ + 4·(−½)
        assertThat(layer.gamma().gradient()).isEqualTo(Matrix.ofRow(-1, -2));
        assertThat(layer.beta().gradient()).isEqualTo(Matrix.ofRow(4, 4));
        // Column 0: γ·v = ½, dβ/N = 2, dγ/N = −½: ½·(3 − 2 − ¼), ½·(1 − 2 + ¼)
        // Column 1: γ·v = −1, dβ/N = 2, dγ/N = −1: −(0 − 2 + ½), −(4 − 2 − ½)
        assertThat(dh).isEqualTo(Matrix.of(2, 2, 0.375, 1.5, -0.375, -1.5));
    }

    @Test
    void backward_handComputedFourRows_gradients() {
        BatchNorm layer = layer(12, Matrix.ofRow(2), Matrix.ofRow(0));
        layer.forward(Matrix.of(4, 1, 0, 0, 4, 4)); // ĥ = (−½, −½, ½, ½)

        // dβ/N = 1, dγ/N = −½: ½·(4 − 1 − ¼), ½·(0 − 1 − ¼), ½·(0 − 1 + ¼) twice
        assertThat(layer.backward(Matrix.of(4, 1, 4, 0, 0, 0)))
                .isEqualTo(Matrix.of(4, 1, 1.375, -0.625, -0.375, -0.375));
    }

    @Test
    void calls_noEpsilon_normalizeToUnitVariance() {
        BatchNorm layer = layer(0, Matrix.ofRow(1), Matrix.ofRow(0));

        assertThat(layer.forward(Matrix.of(2, 1, 1, 3))).isEqualTo(Matrix.of(2, 1, -1, 1));
        // dβ/N = 2, dγ/N = −1: 3 − 2 − 1, 1 − 2 + 1. Two rows are always normalized to ∓1.
        assertThat(layer.backward(Matrix.of(2, 1, 3, 1)).map(Math::abs)).isEqualTo(Matrix.zeros(2, 1));
    }

    @Test
    void infer_handComputed_normalizesWithRunningStatistics() {
        BatchNorm layer = layer();
        layer.forward(X);
        layer.setRunningStatistics(Matrix.ofRow(1, 4), Matrix.ofRow(4, 52));
        double infinity = Double.POSITIVE_INFINITY;

        // 2·(5 − 1)/√(4 + 12) + 1 and −4·(−4 − 4)/√(52 + 12) + ½; ∞ times the sign of γ; NaN and −4·(4 − 4)/8 + ½
        assertThat(layer.infer(Matrix.of(3, 2, 5, -4, infinity, infinity, Double.NaN, 4)))
                .isEqualTo(Matrix.of(3, 2, 3, 4.5, infinity, -infinity, Double.NaN, 0.5));
    }

    /** What infer has computed before is for other quantities then. */
    @Test
    void infer_onlyOneOfItsQuantitiesReplaced_usesTheNewOne() {
        BatchNorm layer = layer(0, Matrix.ofRow(1), Matrix.ofRow(0)); // mean 0 and variance 1
        Matrix x = Matrix.ofRow(3);
        assertThat(layer.infer(x)).isEqualTo(Matrix.ofRow(3));
        layer.gamma().setValue(Matrix.ofRow(2));
        assertThat(layer.infer(x)).isEqualTo(Matrix.ofRow(6));
        layer.beta().setValue(Matrix.ofRow(5));
        assertThat(layer.infer(x)).isEqualTo(Matrix.ofRow(11));
        layer.setRunningStatistics(Matrix.ofRow(1), layer.runningVariance());
        assertThat(layer.infer(x)).isEqualTo(Matrix.ofRow(9));
    }

    @ParameterizedTest
    @CsvSource({"0, 8, 16", "0.25, 6.5, 12.25", "1, 2, 1"})
    void forward_momentum_isTheWeightOfTheBatch(double momentum, double mean, double variance) {
        BatchNorm layer = new BatchNorm(1, 1e-5, momentum);
        layer.setRunningStatistics(Matrix.ofRow(8), Matrix.ofRow(16));

        layer.forward(Matrix.of(3, 1, 1, 2, 3)); // mean 2, unbiased variance (1 + 0 + 1)/2

        assertThat(layer.runningMean()).isEqualTo(Matrix.ofRow(mean));
        assertThat(layer.runningVariance()).isEqualTo(Matrix.ofRow(variance));
    }

    @Test
    void new_features_startsAsTheConventionsSay() {
        BatchNorm layer = new BatchNorm(3);
        Matrix zeros = Matrix.zeros(1, 3);
        Matrix ones = Matrix.filled(1, 3, 1);

        assertThat(layer.features()).isEqualTo(3);
        assertThat(layer.epsilon()).isEqualTo(1e-5);
        assertThat(layer.momentum()).isEqualTo(0.1);
        assertThat(layer.parameters()).containsExactly(layer.gamma(), layer.beta());
        assertThat(layer.state().keySet()).containsExactly("gamma", "beta", "runningMean", "runningVariance");
        assertThat(layer.state().values()).containsExactly(ones, zeros, zeros, ones);
        assertThat(List.of(layer.runningMean(), layer.runningVariance())).containsExactly(zeros, ones);
        assertThat(layer).hasToString("BatchNorm 3");
    }

    @Test
    void new_numbersAtTheEndsOfTheirRanges_accepted() {
        BatchNorm least = new BatchNorm(1, 0, 0);
        BatchNorm most = new BatchNorm(1, Double.MAX_VALUE, 1);

        assertThat(List.of(least.epsilon(), least.momentum())).containsExactly(0.0, 0.0);
        assertThat(List.of(most.epsilon(), most.momentum())).containsExactly(Double.MAX_VALUE, 1.0);
    }

    @ParameterizedTest
    @CsvSource({
        "2, 0.5, 1",
        "2, 1e-3, 2",
        "3, 0.5, 3",
        "3, 1e-3, 4",
        "7, 0.5, 5",
        "7, 1e-5, 6",
        "32, 0.5, 7",
        "32, 0, 8"
    })
    void backward_uniformBatch_agreesWithDifferences(int batch, double epsilon, long seed) {
        Gradients.assertAgreeWithDifferences(
                "seed " + seed,
                layer(epsilon, seed),
                Matrices.uniform(batch, 3, seed + 100),
                Matrices.uniform(batch, 3, seed + 200));
    }

    /** The source's formulas letter by letter: y, and dh with the sum over k of dy·γ·∂ĥ[k,l]/∂h[i,l]. */
    @ParameterizedTest
    @CsvSource({"2, 11", "3, 12", "4, 13", "5, 14", "32, 15"})
    void forwardAndBackward_uniformBatch_agreeWithTheSource(int batch, long seed) {
        double delta = 0.5;
        BatchNorm layer = layer(delta, seed);
        Matrix h = Matrices.uniform(batch, 3, seed + 100);
        Matrix dy = Matrices.uniform(batch, 3, seed + 200);
        Matrix y = layer.forward(h);
        Matrix dh = layer.backward(dy);

        for (int l = 0; l < 3; l++) {
            Column column = new Column(h, l);
            double gamma = layer.gamma().value().get(0, l);
            double beta = layer.beta().value().get(0, l);
            double v = Math.pow(column.variance() + delta, -0.5);
            double v3 = Math.pow(column.variance() + delta, -1.5);
            for (int i = 0; i < batch; i++) {
                double u = column.deviation(i);
                double gradient = 0;
                double size = 0;
                for (int k = 0; k < batch; k++) {
                    double uk = column.deviation(k);
                    gradient += dy.get(k, l) * gamma * (((i == k ? 1 : 0) - 1.0 / batch) * v - uk * v3 * u / batch);
                    size += Math.abs(dy.get(k, l) * gamma)
                            * ((i == k ? 1 : 0) * v + v / batch + (Math.abs(uk) + 1) * v3 * (Math.abs(u) + 1) / batch);
                }
                String as = "seed " + seed + ", entry " + i + "," + l;
                assertThat(y.get(i, l))
                        .as(as)
                        .isCloseTo(
                                gamma * u * v + beta,
                                within(tolerance(batch, Math.abs(gamma) * (Math.abs(u) + 1) * v + Math.abs(beta))));
                assertThat(dh.get(i, l)).as(as).isCloseTo(gradient, within(tolerance(batch, size)));
            }
        }
    }

    /** A column of h, with mean and biased variance by their definitions. */
    private record Column(Matrix h, int l) {
        double mean() {
            double sum = 0;
            for (int p = 0; p < h.rows(); p++) {
                sum += h.get(p, l);
            }
            return sum / h.rows();
        }

        double deviation(int p) {
            return h.get(p, l) - mean();
        }

        double variance() {
            double sum = 0;
            for (int p = 0; p < h.rows(); p++) {
                sum += deviation(p) * deviation(p);
            }
            return sum / h.rows();
        }
    }

    /** Σ dy·Dy(t) = Σ dh·t, with the differential {@code Dy(t) = γ·v·(t − mean(t) − ĥ·mean(ĥ·t))}, ε inside v and ĥ. */
    @ParameterizedTest
    @CsvSource({"2, 21", "3, 22", "7, 23", "32, 24"})
    void backward_anyDirection_isAdjointOfTheDifferential(int batch, long seed) {
        BatchNorm layer = layer(0.5, Matrix.ofRow(-1.5), Matrix.ofRow(0));
        Matrix h = Matrices.uniform(batch, 1, seed);
        Matrix dy = Matrices.uniform(batch, 1, seed + 100);
        Matrix t = Matrices.uniform(batch, 1, seed + 200);
        double v = 1 / Math.sqrt(new Column(h, 0).variance() + 0.5);
        Matrix xHat = layer.forward(h).times(1 / -1.5);

        double meanT = t.sum() / batch;
        double meanXHatT = xHat.hadamard(t).sum() / batch;
        double left = 0;
        for (int k = 0; k < batch; k++) {
            left += dy.get(k, 0) * -1.5 * v * (t.get(k, 0) - meanT - xHat.get(k, 0) * meanXHatT);
        }

        // |dy|, |t| < 1, mean(ĥ²) < 1 and |ĥ| < √N: terms below 1.5·v·(1 + 1 + √N), N of them
        assertThat(layer.backward(dy).hadamard(t).sum())
                .as("seed %d", seed)
                .isCloseTo(left, within(tolerance(batch, batch * 1.5 * v * (2 + Math.sqrt(batch)))));
    }

    @ParameterizedTest
    @CsvSource({"2, 31", "3, 32", "7, 33", "32, 34"})
    void backward_uniformBatch_columnsSumToZeroAndKeepTheIdentityOfEpsilon(int batch, long seed) {
        double epsilon = 0.5;
        BatchNorm layer = layer(epsilon, seed);
        Matrix h = Matrices.uniform(batch, 3, seed + 100);
        layer.forward(h);
        Matrix dh = layer.backward(Matrices.uniform(batch, 3, seed + 200));
        Matrix xHat = layer(epsilon, Matrix.filled(1, 3, 1), Matrix.zeros(1, 3)).forward(h);
        Matrix sums = dh.columnSums();
        Matrix products = dh.hadamard(xHat).columnSums();

        for (int l = 0; l < 3; l++) {
            double gamma = layer.gamma().value().get(0, l);
            double dgamma = layer.gamma().gradient().get(0, l);
            double inside = new Column(h, l).variance() + epsilon;
            // |dy| < 1, mean(ĥ²) < 1 and |ĥ| < √N: N terms of dh below |γ|·v·(1 + 1 + √N)
            double size = batch * Math.abs(gamma) / Math.sqrt(inside) * (2 + Math.sqrt(batch));
            assertThat(sums.get(0, l)).as("seed %d", seed).isCloseTo(0, within(tolerance(batch, size)));
            assertThat(products.get(0, l))
                    .as("seed %d", seed)
                    .isCloseTo(
                            gamma / Math.sqrt(inside) * dgamma * epsilon / inside,
                            within(tolerance(batch, size * Math.sqrt(batch))));
        }
    }

    @ParameterizedTest
    @CsvSource({"2, 41", "7, 42", "32, 43"})
    void backward_affineBefore_itsBiasHasNoGradient(int batch, long seed) {
        Affine affine = new Affine(Matrices.uniform(4, 3, seed), Matrices.uniform(1, 3, seed + 100));
        BatchNorm layer = layer(0.5, seed);
        layer.forward(affine.forward(Matrices.uniform(batch, 4, seed + 200)));

        affine.backward(layer.backward(Matrices.uniform(batch, 3, seed + 300)));

        // As above with |γ| ≤ 1.5 and v ≤ √2: a sum of N terms
        double tolerance = tolerance(batch, batch * 1.5 * Math.sqrt(2) * (2 + Math.sqrt(batch)));
        assertThat(affine.bias().gradient().toArray())
                .as("seed %d", seed)
                .containsExactly(new double[3], within(tolerance));
    }

    @ParameterizedTest
    @CsvSource({"0.1, 3, 51", "1e8, 2, 52", "-3, 7, 53", "1e300, 5, 54", "0, 4, 55", "4.9e-324, 3, 56"})
    void calls_constantColumnNoEpsilon_giveBetaAndNoGradient(double constant, int batch, long seed) {
        BatchNorm layer = new BatchNorm(2, 0, 1);
        layer.gamma().setValue(Matrix.ofRow(-3, 2));
        layer.beta().setValue(Matrix.ofRow(0.7, -1));
        Matrix uniform = Matrices.uniform(batch, 2, seed);
        Matrix x = Matrix.generate(batch, 2, (i, j) -> j == 0 ? constant : uniform.get(i, j));
        Matrix beta = Matrix.filled(1, batch, 0.7);

        assertThat(column(layer.forward(x), 0)).as("seed %d", seed).isEqualTo(beta);
        Matrix dh = layer.backward(uniform);
        assertThat(column(dh, 0).map(Math::abs)).as("seed %d", seed).isEqualTo(Matrix.zeros(1, batch));
        assertThat(layer.gamma().gradient().get(0, 0)).isZero();
        assertThat(layer.beta().gradient().get(0, 0))
                .isCloseTo(uniform.columnSums().get(0, 0), within(tolerance(batch, batch)));
        assertThat(layer.runningMean().get(0, 0)).isEqualTo(constant);
        assertThat(layer.runningVariance().get(0, 0)).isZero();
        assertThat(column(layer.infer(x), 0)).isEqualTo(beta);
        assertThat(column(layer.infer(uniform), 0)).isEqualTo(beta);
    }

    @ParameterizedTest
    @CsvSource({"0.1, 3", "1e8, 2", "-3, 7"})
    void calls_constantColumnWithEpsilon_giveBetaAndNoGradientOfGamma(double constant, int batch) {
        BatchNorm layer = layer(0.25, Matrix.ofRow(-3), Matrix.ofRow(0.7));

        assertThat(layer.forward(Matrix.filled(batch, 1, constant))).isEqualTo(Matrix.filled(batch, 1, 0.7));
        // dy = (1, 0, …, 0): γ/√ε·(dy − 1/N)
        Matrix dh = layer.backward(Matrix.generate(batch, 1, (i, j) -> i == 0 ? 1 : 0));
        assertThat(layer.gamma().gradient().get(0, 0)).isZero();
        for (int i = 0; i < batch; i++) {
            assertThat(dh.get(i, 0)).isCloseTo(-6 * ((i == 0 ? 1.0 : 0.0) - 1.0 / batch), within(tolerance(batch, 6)));
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-300, 1e-150, 1e-8, 1, 1e8, 1e153, 1.8e154})
    void forward_anyScaleNoEpsilon_normalizesToUnitVariance(double scale) {
        Matrix y = layer(0, Matrix.ofRow(1), Matrix.ofRow(0)).forward(Matrix.of(2, 1, 0, scale));

        assertThat(y.get(0, 0)).isCloseTo(-1, within(tolerance(2, 1)));
        assertThat(y.get(1, 0)).isCloseTo(1, within(tolerance(2, 1)));
    }

    @Test
    void forward_unbiasedVarianceJustInRange_accepted() {
        BatchNorm layer = new BatchNorm(1, 0, 1);

        layer.forward(Matrix.of(3, 1, -1.2e154, 0, 1.2e154)); // Σ(h − μ)², twice the variance, is out of range

        assertThat(layer.runningVariance().get(0, 0)).isCloseTo(1.44e308, within(tolerance(3, 1.44e308)));
    }

    @Test
    void calls_infiniteGamma_giveWhatTheFormulasGive() {
        BatchNorm layer = layer(0, Matrix.ofRow(Double.POSITIVE_INFINITY), Matrix.ofRow(1));
        Matrix y = Matrix.ofRow(Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.NaN)
                .transpose();

        assertThat(layer.infer(Matrix.ofRow(1, -1, 0).transpose())).isEqualTo(y);
        assertThat(layer.forward(Matrix.ofRow(3, 1, 2).transpose())).isEqualTo(y);
    }

    @Test
    void infer_infiniteGamma_givesWhatTheFormulaGives() {
        double infinity = Double.POSITIVE_INFINITY;
        BatchNorm layer = layer(0, Matrix.filled(1, 3, infinity), Matrix.ofRow(0, infinity, -infinity));
        layer.setRunningStatistics(Matrix.zeros(1, 3), Matrix.ofRow(0, 1, 1));

        assertThat(layer.infer(Matrix.ofRow(5, 5, 5))) // v is 0 in the first column
                .isEqualTo(Matrix.ofRow(Double.NaN, infinity, Double.NaN));
    }

    /** Their sum is beyond the range of double, its root is not. */
    @Test
    void infer_largestPowerOfTwoAsVarianceAndEpsilon_dividesByTheRootOfTheirSum() {
        BatchNorm layer = layer(0x1p1023, Matrix.ofRow(1), Matrix.ofRow(0));
        layer.setRunningStatistics(Matrix.ofRow(0), Matrix.ofRow(0x1p1023));

        assertThat(layer.infer(Matrix.ofRow(0x1p512))).isEqualTo(Matrix.ofRow(1));
    }

    /** Each has a bound of its own on the terms of dh. */
    @Test
    void backward_afterOneOfFarLargerDy_bitsOfTheFirst() {
        Matrix dy = Matrix.of(3, 2, 0.1, 0.7, 0.2, -0.4, 0.5, 0.3);
        Matrix x = Matrix.of(3, 2, 1, 5, 2, 7, 4, 6.5);
        BatchNorm layer = layer();
        layer.forward(x);
        Matrix dh = layer.backward(dy);
        layer.backward(dy.times(0x1p200));

        assertThat(layer.backward(dy)).isEqualTo(dh);
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
    void backward_nonFiniteEntry_staysInItsColumn(double value) {
        BatchNorm layer = layer();
        layer.forward(X);
        Matrix dh = layer.backward(Matrix.of(2, 2, 3, 0, 1, 4));
        Matrix spoiled = layer.backward(Matrix.of(2, 2, 3, 0, value, 4));

        assertThat(column(spoiled, 1)).isEqualTo(column(dh, 1));
        assertThat(DoubleStream.of(column(spoiled, 0).toArray())).noneMatch(Double::isFinite);
        assertThat(LayerTest.gradients(layer)).allSatisfy(gradient -> {
            assertThat(gradient.get(0, 0)).isNotFinite();
            assertThat(gradient.get(0, 1)).isFinite();
        });
    }

    /** ĥ is 0 there, and 0·∞ is NaN. */
    @Test
    void backward_infiniteEntryAtTheMean_givesNanAsGradientOfGamma() {
        BatchNorm layer = layer(0, Matrix.ofRow(1), Matrix.ofRow(0));
        layer.forward(Matrix.of(3, 1, 1, 2, 3));
        layer.backward(Matrix.of(3, 1, 0, Double.POSITIVE_INFINITY, 0));

        assertThat(layer.gamma().gradient()).isEqualTo(Matrix.ofRow(Double.NaN));
        assertThat(layer.beta().gradient()).isEqualTo(Matrix.ofRow(Double.POSITIVE_INFINITY));
    }

    @Test
    @Timeout(value = 10, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void infer_noColumnsAndAsManyRowsAsAnInt_returns() {
        Matrix x = Matrix.zeros(Integer.MAX_VALUE, 0);
        assertThat(new BatchNorm(0).infer(x)).isEqualTo(x);
    }

    @Test
    void calls_smallShapes_resultsHaveTheirShapes() {
        for (int features = 0; features <= 3; features++) {
            BatchNorm layer = new BatchNorm(features);
            for (int batch = 0; batch <= 5; batch++) {
                Matrix zeros = Matrix.zeros(batch, features);
                assertThat(layer.infer(zeros)).isEqualTo(zeros);
                if (batch >= 2) {
                    assertThat(layer.forward(zeros)).isEqualTo(zeros);
                    assertThat(layer.backward(zeros).map(Math::abs)).isEqualTo(zeros);
                    assertThat(LayerTest.gradients(layer)).containsOnly(Matrix.zeros(1, features));
                    assertThat(layer.runningMean()).isEqualTo(Matrix.zeros(1, features));
                    assertThat(layer.runningVariance().columns()).isEqualTo(features);
                }
            }
        }
    }

    static List<Refusal> refusals() {
        Matrix finite = Matrix.ofRow(3, 4);
        Matrix wide = Matrix.zeros(2, 3);
        Map<String, Matrix> state = layer().state();
        String overflow = " is beyond the range of double, expected a finite number; scale x down";
        return List.of(
                new Refusal("BatchNorm.new: features is -1, expected at least 0", layer -> new BatchNorm(-1)),
                new Refusal("BatchNorm.new: features is -1, expected at least 0", layer -> new BatchNorm(-1, 0, 0)),
                refusedEpsilon(-1e-5),
                refusedEpsilon(Double.NaN),
                refusedEpsilon(Double.POSITIVE_INFINITY),
                refusedMomentum(-0.1),
                refusedMomentum(1.5),
                refusedMomentum(Double.NaN),
                new Refusal("BatchNorm.forward: x is 2x3, expected Nx2", layer -> layer.forward(wide)),
                new Refusal("BatchNorm.infer: x is 2x3, expected Nx2", layer -> layer.infer(wide)),
                new Refusal(
                        "BatchNorm.forward: x has 1 row, expected at least 2 because one row has no variance;"
                                + " use infer for single rows",
                        layer -> layer.forward(finite)),
                new Refusal(
                        "BatchNorm.forward: x has 0 rows, expected at least 2",
                        layer -> layer.forward(Matrix.zeros(0, 2))),
                refusedBatch("x[0,1] is NaN, expected a finite number", 1, Double.NaN, 2, Double.NaN),
                refusedBatch("x[1,0] is Infinity, expected a finite number", 1, 2, Double.POSITIVE_INFINITY, 3),
                refusedBatch("x[1,1] is -Infinity, expected a finite number", 1, 2, 3, Double.NEGATIVE_INFINITY),
                refusedBatch("variance of column 1" + overflow, 0, 0, 1, 1e155),
                refusedBatch("variance of column 0" + overflow, -1e160, 1e160, 0, 1e160),
                refusedBatch("variance of column 0" + overflow, -Double.MAX_VALUE, 0, Double.MAX_VALUE, 0),
                // (2.2e154)²/2; the biased (2.2e154)²/4 would be finite
                refusedBatch("variance of column 0" + overflow, 0, 0, 2.2e154, 0),
                refusedStatistics("mean is null, expected a value", null, finite),
                refusedStatistics("variance is null, expected a value", finite, null),
                refusedStatistics("mean is 2x3, expected 1x2", wide, finite),
                refusedStatistics("variance is 2x3, expected 1x2", finite, wide),
                refusedStatistics("mean[0,1] is NaN, expected a finite number", Matrix.ofRow(1, Double.NaN), finite),
                refusedStatistics(
                        "variance[0,0] is Infinity, expected a finite number",
                        finite,
                        Matrix.ofRow(Double.POSITIVE_INFINITY, -1)),
                refusedStatistics(
                        "variance[0,1] is -4.9E-324, expected at least 0", finite, Matrix.ofRow(0, -Double.MIN_VALUE)),
                refusedState(
                        "runningVariance[0,1] is -3.0, expected at least 0",
                        LayerTest.with(state, "runningVariance", Matrix.ofRow(1, -1))),
                refusedState(
                        "runningMean[0,0] is NaN, expected a finite number",
                        LayerTest.with(state, "runningMean", Matrix.ofRow(Double.NaN, 1))),
                refusedState(
                        "gamma is 2x3, expected 1x2; beta is missing, expected 1x2;"
                                + " runningVariance is missing, expected 1x2; delta is unexpected",
                        Map.of("gamma", wide, "runningMean", finite, "delta", wide)));
    }

    private static Refusal refusedEpsilon(double epsilon) {
        return new Refusal(
                "BatchNorm.new: epsilon is " + epsilon + ", expected at least 0 and finite",
                layer -> new BatchNorm(2, epsilon, 0.1));
    }

    private static Refusal refusedMomentum(double momentum) {
        return new Refusal(
                "BatchNorm.new: momentum is " + momentum + ", expected 0 to 1",
                layer -> new BatchNorm(2, 1e-5, momentum));
    }

    private static Refusal refusedBatch(String message, double... twoByTwo) {
        return new Refusal("BatchNorm.forward: " + message, layer -> layer.forward(Matrix.of(2, 2, twoByTwo)));
    }

    private static Refusal refusedStatistics(String message, Matrix mean, Matrix variance) {
        return new Refusal(
                "BatchNorm.setRunningStatistics: " + message,
                layer -> ((BatchNorm) layer).setRunningStatistics(mean, variance));
    }

    private static Refusal refusedState(String message, Map<String, Matrix> state) {
        Map<String, Matrix> tripled = new HashMap<>(state); // so that taking over a part would show
        tripled.replaceAll((name, value) -> value.times(3));
        return new Refusal("BatchNorm.restore: " + message, layer -> layer.restore(tripled));
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void call_badArgument_refusedAndNothingChanged(Refusal refusal) {
        refusal.assertRefused(layer(), X);
    }

    @Test
    @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void inferAndState_statisticsReplacedMeanwhile_readOnePair() throws Exception {
        BatchNorm layer = layer(0, Matrix.ofRow(1), Matrix.ofRow(0));
        Matrix x = Matrix.ofRow(50);
        // Mean and variance (0, 1) give 50, (100, 10000) give −½; a mixture would give ½ or −50.
        List<List<Matrix>> pairs =
                List.of(List.of(Matrix.ofRow(0), Matrix.ofRow(1)), List.of(Matrix.ofRow(100), Matrix.ofRow(10000)));
        Set<Double> inferred = new HashSet<>();
        Set<List<Matrix>> read = new HashSet<>();
        AtomicBoolean done = new AtomicBoolean();
        ExecutorService pool = Executors.newSingleThreadExecutor();
        try {
            Future<?> writer = pool.submit(() -> Waiting.until(() -> {
                pairs.forEach(pair -> layer.setRunningStatistics(pair.get(0), pair.get(1)));
                return done.get();
            }));
            Waiting.until(() -> {
                for (int i = 0; i < 200_000; i++) {
                    inferred.add(layer.infer(x).get(0, 0));
                    Map<String, Matrix> state = layer.state();
                    read.add(List.of(state.get("runningMean"), state.get("runningVariance")));
                }
                return writer.isDone() || (inferred.size() >= 2 && read.size() >= 2);
            });
            done.set(true);
            writer.get();
        } finally {
            done.set(true);
            pool.shutdown();
        }

        assertThat(inferred).containsExactlyInAnyOrder(50.0, -0.5);
        assertThat(read).containsExactlyInAnyOrderElementsOf(pairs);
    }

    /** In a narrow batch, kernels take several rows as one; a column's bits do not depend on those beside it. */
    @Tag("bits")
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5, 8, 17, 31, 32, 33})
    void anyPass_fewColumns_hasTheBitsOfTheseColumnsInAWideBatch(int columns) {
        int wide = 70;
        for (int rows : new int[] {2, 7, 8, 9, 15, 16, 17, 33, 255, 256, 257, 600}) {
            Matrix x = Matrices.uniform(rows, wide, rows);
            Matrix dy = Matrices.uniform(rows, wide, rows + 1);
            BatchNorm ofAll = new BatchNorm(wide);
            ofAll.gamma().setValue(Matrices.uniform(1, wide, 3));
            ofAll.beta().setValue(Matrices.uniform(1, wide, 4));
            BatchNorm ofFew = new BatchNorm(columns);
            ofFew.gamma().setValue(first(ofAll.gamma().value(), columns));
            ofFew.beta().setValue(first(ofAll.beta().value(), columns));

            assertThat(ofFew.forward(first(x, columns))).isEqualTo(first(ofAll.forward(x), columns));
            assertThat(ofFew.backward(first(dy, columns))).isEqualTo(first(ofAll.backward(dy), columns));
            assertThat(ofFew.gamma().gradient()).isEqualTo(first(ofAll.gamma().gradient(), columns));
            assertThat(ofFew.infer(first(x, columns))).isEqualTo(first(ofAll.infer(x), columns));
        }
    }

    private static Matrix first(Matrix matrix, int columns) {
        return Matrix.generate(matrix.rows(), columns, matrix::get);
    }
}
