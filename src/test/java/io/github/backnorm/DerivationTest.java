package io.github.backnorm;

import static io.github.backnorm.Definitions.PRECISION;
import static io.github.backnorm.Definitions.affine;
import static io.github.backnorm.Definitions.derivative;
import static io.github.backnorm.Definitions.matrix;
import static io.github.backnorm.Definitions.mean;
import static io.github.backnorm.Definitions.normalized;
import static io.github.backnorm.Definitions.output;
import static io.github.backnorm.Definitions.quotient;
import static io.github.backnorm.Definitions.rectified;
import static io.github.backnorm.Definitions.sum;
import static io.github.backnorm.Definitions.variance;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.Definitions.Entry;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The equations of docs/derivation.md, by their numbers and entry by entry: each right-hand side against centered
 * differences of the {@link Definitions}, and the library's doubles against the right-hand side.
 *
 * <p>A right-hand side is written once, most of them as methods of {@link Point} and {@link AffinePoint}; later ones
 * call earlier ones, as the derivation does.
 */
final class DerivationTest {
    /** For two ways to the same number: fewer than 1000 roundings to 100 digits of numbers below 10⁷. */
    private static final BigDecimal ROUNDING = new BigDecimal("1e-90");

    /**
     * For centered differences with the step t = 10⁻²⁵: their truncation error is at most t²/6·max|f'''|, and
     * rounding, at most ROUNDING/t = 10⁻⁶⁵, is nothing beside it.
     *
     * <p>To bound f''', let h_ij be the entry that moves, q = σ²_j + δ and s = √q. {@link Point#drawn} sees to N ≤ 5,
     * s ≥ 1/4, |γ| ≤ 3/2, |β| ≤ 2 and |dy| ≤ 2. Since |u| ≤ √N·s, |u'| ≤ 1, u'' = 0, |q'| ≤ √2·s, q'' ≤ 1/2 and q''' =
     * 0, v = q^(−1/2) has |v'| ≤ 0.8/s², |v''| ≤ 1.8/s³, |v'''| ≤ 7/s⁴, and ĥ = u·v has |ĥ'| ≤ 2.6/s, |ĥ''| ≤ 5.5/s²,
     * |ĥ'''| ≤ 21/s³ ≤ 1344. The most curved function below is the loss of (7), S²/2 with S = Σ dy·y over at most 15
     * entries: 3·|S'|·|S''| + |S|·|S'''| ≤ 3·156·1320 + 161·20160 &lt; 4·10⁶. So truncation stays below 10⁶·t²
     * everywhere, and on the right of (7), where factors of at most 2500 in sum multiply the errors of ∂ĥ/∂h, too.
     */
    private static final BigDecimal TOLERANCE = new BigDecimal("1e7").multiply(Definitions.STEP.pow(2));

    /** The least s² = σ² + δ of a point. */
    private static final BigDecimal LEAST_VARIANCE = new BigDecimal("0.0625");

    /** The error of one rounding to double, relative to its result. */
    private static final double ROUNDOFF = 0x1p-53;

    // (1) to (6): the definitions

    /** docs/derivation.md (1). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation1_affineForward_matchesDefinition(AffinePoint p) {
        BigDecimal[][] magnitudes = affine(absolute(p.x), absolute(p.w), absolute(p.b));

        Matrix h = p.layer().forward(doubles(p.x));

        // An entry is D fused multiply-adds and the addition of the bias.
        assertClose("h", p, h, affine(p.x, p.w, p.b), (k, l) -> gammaN(p.inputs + 1) * magnitudes[k][l].doubleValue());
    }

    /** docs/derivation.md (2) to (6), on columns with σ² = 5 and √(5 + δ) = 3. */
    @Test
    void equations2To6_workedBatch_matchHandComputation() {
        Point p = workedPoint();

        assertClose("μ", p, mean(p.h), decimals("4 3 4"), BigDecimal.ZERO);
        assertClose("σ²", p, variance(p.h), decimals("5 5 5"), BigDecimal.ZERO);
        assertClose("y", p, p.outputOf(p.h), decimals("-2 3 -1", "0 -1 -1", "2 1 -1", "4 5 -1"), ROUNDING);
        assertClose("a", p, rectified(p.outputOf(p.h)), decimals("0 3 0", "0 0 0", "2 1 0", "4 5 0"), ROUNDING);
    }

    /** docs/derivation.md (2), (3): with momentum 1 the running statistics (25) are those of the batch. */
    @ParameterizedTest
    @MethodSource("points")
    void equations2And3_batchStatistics_matchDefinitions(Point p) {
        BatchNorm layer = p.layer(1);

        layer.forward(doubles(p.h));

        assertClose("μ", p, layer.runningMean(), p.mean, (k, l) -> runningMeanTolerance(l, p));
        assertClose(
                "N/(N−1)·σ²",
                p,
                layer.runningVariance(),
                p.unbiasedVariance(),
                (k, l) -> runningVarianceTolerance(l, p));
    }

    /** docs/derivation.md (4), (5). */
    @ParameterizedTest
    @MethodSource("points")
    void equations4And5_batchNormForward_matchesDefinitions(Point p) {
        Matrix y = p.layer(0.1).forward(doubles(p.h));

        assertClose("y", p, y, p.outputOf(p.h), (k, l) -> p.outputTolerance(l));
    }

    /** docs/derivation.md (6), which is exact in doubles. */
    @ParameterizedTest
    @MethodSource("points")
    void equation6_reluForward_equalsDefinition(Point p) {
        assertThat(new ReLU().forward(doubles(p.h))).as("a, %s", p).isEqualTo(doubles(rectified(p.h)));
    }

    // (7) to (14): the derivatives of ĥ

    /** docs/derivation.md (7), for a loss that is not linear and couples all entries; each factor by differences. */
    @ParameterizedTest
    @MethodSource("points")
    void equation7_chainRule_matchesCenteredDifferences(Point p) {
        UnaryOperator<BigDecimal[][]> loss =
                y -> matrix(1, 1, (k, l) -> new BigDecimal("0.5").multiply(loss(p.dy, y)[0][0].pow(2)));
        UnaryOperator<BigDecimal[][]> outputOfNormalized = xHat -> output(xHat, p.gamma, p.beta);
        BigDecimal[][] dy = p.batch((k, l) -> derivative(loss, p.outputOf(p.h), k, l)[0][0]);
        BigDecimal[][] outputByNormalized = p.batch((k, l) -> derivative(outputOfNormalized, p.xHat, k, l)[k][l]);

        BigDecimal[][] chained =
                p.batch((i, j) -> chained(dy, outputByNormalized, derivative(h -> normalized(h, p.delta), p.h, i, j)));

        assertGradient(p, h -> loss.apply(p.outputOf(h)), p.h, chained);
    }

    /** docs/derivation.md (8): y_kl depends on ĥ_kl alone. */
    @ParameterizedTest
    @MethodSource("points")
    void equation8_outputByNormalized_matchesCenteredDifferences(Point p) {
        assertPartials(
                p,
                xHat -> output(xHat, p.gamma, p.beta),
                p.xHat,
                (k, l, i, j) ->
                        p.outputByNormalized(l).multiply(kronecker(i, k)).multiply(kronecker(j, l)));
    }

    /** docs/derivation.md (9). */
    @ParameterizedTest
    @MethodSource("points")
    void equation9_productOfFactors_equalsNormalized(Point p) {
        assertClose("u·v", p, p.batch((k, l) -> p.u[k][l].multiply(p.v[0][l])), p.xHat, ROUNDING);
    }

    /** docs/derivation.md (10). */
    @ParameterizedTest
    @MethodSource("points")
    void equation10_meanByInput_matchesCenteredDifferences(Point p) {
        assertPartials(p, Definitions::mean, p.h, (k, l, i, j) -> p.meanByInput(l, j));
    }

    /** docs/derivation.md (11). */
    @ParameterizedTest
    @MethodSource("points")
    void equation11_centeredByInput_matchesCenteredDifferences(Point p) {
        assertPartials(p, DerivationTest::centered, p.h, p::centeredByInput);
    }

    /** docs/derivation.md (11), the five cases written out, for N = 4; indices count from 1. */
    @ParameterizedTest
    @CsvSource({"1,1,1,1, 0.75", "1,2,1,1, 0", "2,1,1,1, -0.25", "2,1,1,2, 0", "1,2,1,2, 0.75"})
    void equation11_fiveCases_agree(int k, int l, int i, int j, BigDecimal expected) {
        assertThat(workedPoint().centeredByInput(k - 1, l - 1, i - 1, j - 1)).isEqualByComparingTo(expected);
    }

    /** docs/derivation.md (11), the distinction of cases, for N = 4. */
    @Test
    void equation11_distinctionOfCases_agrees() {
        BigDecimal diagonal = new BigDecimal("0.75");
        BigDecimal sameColumn = new BigDecimal("-0.25");
        Point p = workedPoint();

        assertPartials(
                p,
                DerivationTest::centered,
                p.h,
                (k, l, i, j) -> l != j ? BigDecimal.ZERO : k == i ? diagonal : sameColumn);
    }

    /** docs/derivation.md (11), the matrices ∂u/∂h_11 and ∂u/∂h_12, for N = 4 and L = 3. */
    @Test
    void equation11_matrices_agree() {
        Point p = workedPoint();
        BigDecimal[][] byH11 = decimals("0.75 0 0", "-0.25 0 0", "-0.25 0 0", "-0.25 0 0");
        BigDecimal[][] byH12 = decimals("0 0.75 0", "0 -0.25 0", "0 -0.25 0", "0 -0.25 0");

        assertClose("∂u/∂h_11", p, p.batch((k, l) -> p.centeredByInput(k, l, 0, 0)), byH11, BigDecimal.ZERO);
        assertClose("∂u/∂h_12", p, p.batch((k, l) -> p.centeredByInput(k, l, 0, 1)), byH12, BigDecimal.ZERO);
    }

    /** docs/derivation.md (12). */
    @ParameterizedTest
    @MethodSource("points")
    void equation12_varianceByInput_matchesCenteredDifferences(Point p) {
        assertPartials(p, Definitions::variance, p.h, (k, l, i, j) -> p.varianceByInput(l, i, j));
    }

    /** docs/derivation.md (12), the examples ∂σ²_1/∂h_11, ∂σ²_2/∂h_22 and ∂σ²_2/∂h_11; indices count from 1. */
    @ParameterizedTest
    @CsvSource({"1,1,1, -1.5", "2,2,2, 1.5", "2,1,1, 0"})
    void equation12_examples_agree(int l, int i, int j, BigDecimal expected) {
        assertThat(workedPoint().varianceByInput(l - 1, i - 1, j - 1)).isEqualByComparingTo(expected);
    }

    /** docs/derivation.md (13). */
    @ParameterizedTest
    @MethodSource("points")
    void equation13_inverseStdByInput_matchesCenteredDifferences(Point p) {
        assertPartials(p, h -> inverseStd(h, p.delta), p.h, (k, l, i, j) -> p.inverseStdByInput(l, i, j));
    }

    /** docs/derivation.md (14). */
    @ParameterizedTest
    @MethodSource("points")
    void equation14_normalizedByInput_matchesCenteredDifferences(Point p) {
        assertPartials(p, h -> normalized(h, p.delta), p.h, p::normalizedByInput);
    }

    // (15) to (20): the gradients of batch norm

    /** docs/derivation.md (15): the sum (7) with (8) and (14). */
    @ParameterizedTest
    @MethodSource("points")
    void equation15_closedForm_equalsContraction(Point p) {
        BigDecimal[][] outputByNormalized = p.batch((k, l) -> p.outputByNormalized(l));

        BigDecimal[][] contraction = p.batch(
                (i, j) -> chained(p.dy, outputByNormalized, p.batch((k, l) -> p.normalizedByInput(k, l, i, j))));

        assertClose("dh", p, p.closedForm(), contraction, ROUNDING);
    }

    /** docs/derivation.md (15). */
    @ParameterizedTest
    @MethodSource("points")
    void equation15_closedForm_matchesCenteredDifferences(Point p) {
        assertGradient(p, h -> loss(p.dy, p.outputOf(h)), p.h, p.closedForm());
    }

    /** docs/derivation.md (16). */
    @ParameterizedTest
    @MethodSource("points")
    void equation16_gammaGradient_matchesCenteredDifferences(Point p) {
        assertGradient(p, gamma -> loss(p.dy, output(p.xHat, gamma, p.beta)), p.gamma, p.gammaGradient());
    }

    /** docs/derivation.md (17). */
    @ParameterizedTest
    @MethodSource("points")
    void equation17_betaGradient_matchesCenteredDifferences(Point p) {
        assertGradient(p, beta -> loss(p.dy, output(p.xHat, p.gamma, beta)), p.beta, p.betaGradient());
    }

    /** docs/derivation.md (18). */
    @ParameterizedTest
    @MethodSource("points")
    void equation18_inputGradient_matchesCenteredDifferences(Point p) {
        assertGradient(p, h -> loss(p.dy, p.outputOf(h)), p.h, p.inputGradient());
    }

    /** docs/derivation.md (16), (17), (18). */
    @ParameterizedTest
    @MethodSource("points")
    void equations16To18_batchNormBackward_matchesEquations(Point p) {
        BatchNorm layer = p.layer(0.1);
        layer.forward(doubles(p.h));

        Matrix dh = layer.backward(doubles(p.dy));

        assertClose("dγ", p, layer.gamma().gradient(), p.gammaGradient(), (k, l) -> p.gammaGradientTolerance(l));
        assertClose("dβ", p, layer.beta().gradient(), p.betaGradient(), (k, l) -> p.betaGradientTolerance(l));
        assertClose("dh", p, dh, p.inputGradient(), p::inputGradientTolerance);
    }

    /** docs/derivation.md (19). */
    @ParameterizedTest
    @MethodSource("points")
    void equation19_sumOfInputGradient_isZero(Point p) {
        BigDecimal[][] dh = p.inputGradient();

        assertClose("Σ dh", p, p.row(j -> sum(p.rows, i -> dh[i][j])), p.row(j -> BigDecimal.ZERO), ROUNDING);
    }

    /** docs/derivation.md (20), and the two sums that lead to it. */
    @ParameterizedTest
    @MethodSource("points")
    void equation20_inputGradientAlongNormalized_equalsShareOfDelta(Point p) {
        BigDecimal[][] dh = p.inputGradient();

        assertClose("Σ ĥ", p, p.row(j -> sum(p.rows, i -> p.xHat[i][j])), p.row(j -> BigDecimal.ZERO), ROUNDING);
        assertClose("Σ ĥ²", p, p.row(j -> sum(p.rows, i -> p.xHat[i][j].pow(2))), p.squaresOfNormalized(), ROUNDING);
        assertClose(
                "Σ dh·ĥ",
                p,
                p.row(j -> sum(p.rows, i -> dh[i][j].multiply(p.xHat[i][j]))),
                p.inputGradientAlongNormalized(),
                ROUNDING);
    }

    // (21) to (24): the layers around it

    /** docs/derivation.md (21). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation21_weightGradient_matchesCenteredDifferences(AffinePoint p) {
        assertGradient(p, w -> loss(p.dh, affine(p.x, w, p.b)), p.w, p.weightGradient());
    }

    /** docs/derivation.md (22). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation22_biasGradient_matchesCenteredDifferences(AffinePoint p) {
        assertGradient(p, b -> loss(p.dh, affine(p.x, p.w, b)), p.b, p.biasGradient());
    }

    /** docs/derivation.md (22): a batch norm takes the bias before it out again. */
    @ParameterizedTest
    @MethodSource("points")
    void equation22_biasBeforeBatchNorm_hasZeroGradient(Point p) {
        BigDecimal[][] identity = matrix(p.columns, p.columns, DerivationTest::kronecker);
        BigDecimal[][] zero = p.row(l -> BigDecimal.ZERO);

        assertGradient(p, b -> loss(p.dy, p.outputOf(affine(p.h, identity, b))), zero, zero);
    }

    /** docs/derivation.md (23). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation23_inputGradient_matchesCenteredDifferences(AffinePoint p) {
        assertGradient(p, x -> loss(p.dh, affine(x, p.w, p.b)), p.x, p.inputGradient());
    }

    /** docs/derivation.md (21), (22), (23): an entry is a sum of N, N and L terms. */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equations21To23_affineBackward_matchesEquations(AffinePoint p) {
        AffinePoint q = p.ofMagnitudes();
        BigDecimal[][] dwMagnitudes = q.weightGradient();
        BigDecimal[][] dbMagnitudes = q.biasGradient();
        BigDecimal[][] dxMagnitudes = q.inputGradient();
        Affine layer = p.layer();
        layer.forward(doubles(p.x));

        Matrix dx = layer.backward(doubles(p.dh));

        assertClose(
                "dW",
                p,
                layer.weight().gradient(),
                p.weightGradient(),
                (d, l) -> gammaN(p.rows) * dwMagnitudes[d][l].doubleValue());
        assertClose(
                "db",
                p,
                layer.bias().gradient(),
                p.biasGradient(),
                (k, l) -> gammaN(p.rows) * dbMagnitudes[k][l].doubleValue());
        assertClose("dX", p, dx, p.inputGradient(), (k, d) -> gammaN(p.outputs) * dxMagnitudes[k][d].doubleValue());
    }

    /** docs/derivation.md (24) away from the kink; h stands in for y, and dy for da. */
    @ParameterizedTest
    @MethodSource("points")
    void equation24_reluGradient_matchesCenteredDifferences(Point p) {
        assertGradient(p, y -> loss(p.dy, rectified(y)), p.h, reluGradient(p.dy, p.h));
    }

    /** docs/derivation.md (24), which is exact in doubles. */
    @ParameterizedTest
    @MethodSource("points")
    void equation24_reluBackward_equalsEquation(Point p) {
        ReLU layer = new ReLU();
        layer.forward(doubles(p.h));

        assertThat(layer.backward(doubles(p.dy))).as("dy, %s", p).isEqualTo(doubles(reluGradient(p.dy, p.h)));
    }

    /** docs/derivation.md (6), (24), the convention at the kink. */
    @Test
    void equations6And24_kink_passNothing() {
        ReLU layer = new ReLU();
        Matrix zero = Matrix.ofRow(0.0, 0.0);

        assertThat(layer.forward(Matrix.ofRow(0.0, -0.0))).isEqualTo(zero);
        assertThat(layer.backward(Matrix.ofRow(1, -1))).isEqualTo(zero);
        assertThat(doubles(reluGradient(decimals("1 -1"), decimals("0 0")))).isEqualTo(zero);
    }

    // (25), (26): evaluation

    /** docs/derivation.md (25), over two batches. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.1, 0.25, 1})
    void equation25_runningStatistics_matchEquation(double momentum) {
        BigDecimal m = new BigDecimal(momentum);
        Point p = Point.drawn(100, 5, 3, 0.5);
        Point q = Point.drawn(101, 3, 3, 0.5);
        BigDecimal[][] zeros = p.row(l -> BigDecimal.ZERO);
        BigDecimal[][] ones = p.row(l -> BigDecimal.ONE);
        BigDecimal[][] mean = running(running(zeros, m, p.mean), m, q.mean);
        BigDecimal[][] variance = running(running(ones, m, p.unbiasedVariance()), m, q.unbiasedVariance());
        BatchNorm layer = p.layer(momentum);

        layer.forward(doubles(p.h));
        layer.forward(doubles(q.h));

        assertClose("mean", p, layer.runningMean(), mean, (k, l) -> runningMeanTolerance(l, p, q));
        assertClose("variance", p, layer.runningVariance(), variance, (k, l) -> runningVarianceTolerance(l, p, q));
    }

    /** docs/derivation.md (26), with statistics that are not the batch's. */
    @ParameterizedTest
    @MethodSource("points")
    void equation26_batchNormInfer_matchesEquation(Point p) {
        Random random = new Random(p.seed);
        BigDecimal[][] runningMean = uniform(random, 1, p.columns);
        BigDecimal[][] runningVariance = absolute(uniform(random, 1, p.columns));
        BigDecimal[][] y = p.evaluated(runningMean, runningVariance);
        BatchNorm layer = p.layer(0.1);
        layer.setRunningStatistics(doubles(runningMean), doubles(runningVariance));

        assertClose("y", p, layer.infer(doubles(p.h)), y, (k, l) -> p.evaluatedTolerance(l, y[k][l]));
    }

    /** docs/derivation.md, the convention for σ² + δ = 0. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.1, -1e8})
    void convention_constantColumnWithoutDelta_normalizesToZero(double constant) {
        BatchNorm layer = new BatchNorm(1, 0, 0.1);
        layer.gamma().setValue(Matrix.ofRow(3));
        layer.beta().setValue(Matrix.ofRow(0.7));

        Matrix y = layer.forward(Matrix.filled(3, 1, constant));
        Matrix dh = layer.backward(Matrix.of(3, 1, 1, 2, 4));
        layer.setRunningStatistics(Matrix.ofRow(1), Matrix.ofRow(0));

        assertThat(y).isEqualTo(Matrix.filled(3, 1, 0.7));
        assertThat(dh.map(Math::abs)).isEqualTo(Matrix.zeros(3, 1));
        assertThat(layer.gamma().gradient().sum()).isZero();
        assertThat(layer.beta().gradient()).isEqualTo(Matrix.ofRow(7));
        assertThat(layer.infer(Matrix.of(2, 1, constant, 5))).isEqualTo(Matrix.filled(2, 1, 0.7));
    }

    // The right-hand sides

    /** A batch h with γ, β, δ and the gradient dy of a loss, and the equations of batch norm there. */
    private static final class Point {
        final long seed;
        final int rows;
        final int columns;
        final BigDecimal[][] h;
        final BigDecimal[][] gamma;
        final BigDecimal[][] beta;
        final BigDecimal delta;
        final BigDecimal[][] dy;
        final BigDecimal[][] mean;
        final BigDecimal[][] variance;
        final BigDecimal[][] u;
        final BigDecimal[][] v;
        final BigDecimal[][] xHat;

        Point(
                long seed,
                BigDecimal[][] h,
                BigDecimal[][] gamma,
                BigDecimal[][] beta,
                BigDecimal delta,
                BigDecimal[][] dy) {
            this.seed = seed;
            this.rows = h.length;
            this.columns = h[0].length;
            this.h = h;
            this.gamma = gamma;
            this.beta = beta;
            this.delta = delta;
            this.dy = dy;
            this.mean = mean(h);
            this.variance = variance(h);
            this.u = centered(h);
            this.v = inverseStd(h, delta);
            this.xHat = normalized(h, delta);
        }

        /** Draws what TOLERANCE assumes. Column 0 is constant if δ is large enough, column 1 lies far from 0. */
        static Point drawn(long seed, int rows, int columns, double epsilon) {
            Random random = new Random(seed);
            BigDecimal delta = new BigDecimal(epsilon);
            boolean constantColumn = delta.compareTo(LEAST_VARIANCE) >= 0;
            BigDecimal[][] h;
            do {
                BigDecimal[][] drawn = uniform(random, rows, columns);
                h = matrix(rows, columns, (k, l) -> {
                    double entry = drawn[constantColumn && l == 0 ? 0 : k][l].doubleValue();
                    return new BigDecimal(l == 1 ? entry + 1e6 : entry);
                });
            } while (Arrays.stream(variance(h)[0]).anyMatch(s2 -> s2.add(delta).compareTo(LEAST_VARIANCE) < 0));
            BigDecimal[] gammas = decimals("1.5 -0.75 0")[0];
            BigDecimal[][] gamma = matrix(1, columns, (k, l) -> gammas[random.nextInt(gammas.length)]);
            return new Point(seed, h, gamma, uniform(random, 1, columns), delta, uniform(random, rows, columns));
        }

        BigDecimal[][] outputOf(BigDecimal[][] h) {
            return output(normalized(h, delta), gamma, beta);
        }

        // (8)
        BigDecimal outputByNormalized(int l) {
            return gamma[0][l];
        }

        // (10)
        BigDecimal meanByInput(int l, int j) {
            return quotient(kronecker(j, l), rows);
        }

        // (11)
        BigDecimal centeredByInput(int k, int l, int i, int j) {
            return kronecker(i, k).multiply(kronecker(j, l)).subtract(meanByInput(l, j));
        }

        // (12)
        BigDecimal varianceByInput(int l, int i, int j) {
            return quotient(BigDecimal.valueOf(2), rows).multiply(u[i][l]).multiply(kronecker(j, l));
        }

        // (13)
        BigDecimal inverseStdByInput(int l, int i, int j) {
            return new BigDecimal("-0.5").multiply(v[0][l].pow(3)).multiply(varianceByInput(l, i, j));
        }

        // (14)
        BigDecimal normalizedByInput(int k, int l, int i, int j) {
            return centeredByInput(k, l, i, j).multiply(v[0][l]).add(u[k][l].multiply(inverseStdByInput(l, i, j)));
        }

        // (15)
        BigDecimal[][] closedForm() {
            return batch((i, j) -> {
                BigDecimal meanOfDy = quotient(sum(rows, k -> dy[k][j]), rows);
                BigDecimal meanOfDyXHat = quotient(sum(rows, k -> dy[k][j].multiply(xHat[k][j])), rows);
                BigDecimal projected = dy[i][j].subtract(meanOfDy).subtract(xHat[i][j].multiply(meanOfDyXHat));
                return gamma[0][j].multiply(v[0][j]).multiply(projected);
            });
        }

        // (16)
        BigDecimal[][] gammaGradient() {
            return row(l -> sum(rows, k -> dy[k][l].multiply(xHat[k][l])));
        }

        // (17)
        BigDecimal[][] betaGradient() {
            return row(l -> sum(rows, k -> dy[k][l]));
        }

        // (18)
        BigDecimal[][] inputGradient() {
            BigDecimal[] dgamma = gammaGradient()[0];
            BigDecimal[] dbeta = betaGradient()[0];
            return batch((i, j) -> {
                BigDecimal withoutBeta = dy[i][j].subtract(quotient(dbeta[j], rows));
                BigDecimal projected = withoutBeta.subtract(xHat[i][j].multiply(quotient(dgamma[j], rows)));
                return gamma[0][j].multiply(v[0][j]).multiply(projected);
            });
        }

        // On the way to (20)
        BigDecimal[][] squaresOfNormalized() {
            return row(j -> {
                BigDecimal share = variance[0][j].divide(variance[0][j].add(delta), PRECISION);
                return share.multiply(BigDecimal.valueOf(rows));
            });
        }

        // (20)
        BigDecimal[][] inputGradientAlongNormalized() {
            BigDecimal[] dgamma = gammaGradient()[0];
            return row(j -> {
                BigDecimal share = delta.divide(variance[0][j].add(delta), PRECISION);
                return gamma[0][j].multiply(v[0][j]).multiply(dgamma[j]).multiply(share);
            });
        }

        // In (25)
        BigDecimal[][] unbiasedVariance() {
            return row(l -> quotient(variance[0][l].multiply(BigDecimal.valueOf(rows)), rows - 1));
        }

        // (26)
        BigDecimal[][] evaluated(BigDecimal[][] runningMean, BigDecimal[][] runningVariance) {
            return batch((k, l) -> {
                BigDecimal std = runningVariance[0][l].add(delta).sqrt(PRECISION);
                BigDecimal centered = h[k][l].subtract(runningMean[0][l]);
                return gamma[0][l].multiply(centered).divide(std, PRECISION).add(beta[0][l]);
            });
        }

        BatchNorm layer(double momentum) {
            BatchNorm layer = new BatchNorm(columns, delta.doubleValue(), momentum);
            layer.gamma().setValue(doubles(gamma));
            layer.beta().setValue(doubles(beta));
            return layer;
        }

        /*
         * Error bounds of the library's doubles, to first order, in units of ROUNDOFF, for columns that are shifted by
         * one of their entries first. R is the range of a column of h and ρ = R·v that of ĥ, so |u| ≤ R and |ĥ| ≤ ρ.
         *
         *   shifted entry 1·R; its mean (N + 1)·R; u, their difference, (N + 3)·R
         *   σ²: 5N + 2, relative: N + 2 for the sum of squares, 4R/σ ≤ 4√(2N) ≤ 4N for what differs between the errors
         *       of the u (σ² ≥ R²/2N); the error of the mean, common to all u, has no effect of first order
         *   v:  5N/2 + 4, relative: half of that and the sum, the root, the quotient
         *   ĥ:  (N + 3)ρ + (5N/2 + 5)|ĥ| ≤ (4N + 8)ρ
         *   y:  (4N + 10)(|γ|ρ + |β|)
         *   dβ: N·Σ|dy|
         *   dγ: (5N + 8)ρ·Σ|dy|
         *   dh: (12N + 28)|γ|v·(|dy| + (1 + ρ²)·Σ|dy|/N), where ĥ contributes 4N + 8, dγ 5N + 9, γ·v 5N/2 + 5
         */

        double outputTolerance(int l) {
            double magnitude = gamma[0][l].abs().doubleValue() * rangeOfNormalized(l)
                    + beta[0][l].abs().doubleValue();
            return (4 * rows + 10) * ROUNDOFF * magnitude;
        }

        double betaGradientTolerance(int l) {
            return rows * ROUNDOFF * sumOfMagnitudes(l);
        }

        double gammaGradientTolerance(int l) {
            return (5 * rows + 8) * ROUNDOFF * rangeOfNormalized(l) * sumOfMagnitudes(l);
        }

        double inputGradientTolerance(int i, int j) {
            double range = rangeOfNormalized(j);
            double magnitude = dy[i][j].abs().doubleValue() + (1 + range * range) * sumOfMagnitudes(j) / rows;
            double factor = gamma[0][j].abs().multiply(v[0][j]).doubleValue();
            return (12 * rows + 28) * ROUNDOFF * factor * magnitude;
        }

        /** 5.5 roundings of y − β: h − mean 1, √(variance + δ) 1.5, its inverse 1, two products 2; one of y. */
        double evaluatedTolerance(int l, BigDecimal y) {
            BigDecimal magnitude = y.subtract(beta[0][l]).abs().add(beta[0][l].abs());
            return 8 * ROUNDOFF * magnitude.doubleValue();
        }

        private double rangeOfNormalized(int l) {
            List<BigDecimal> column =
                    Arrays.stream(xHat).map(row -> row[l]).sorted().toList();
            return column.get(rows - 1).subtract(column.get(0)).doubleValue();
        }

        private double sumOfMagnitudes(int l) {
            return sum(rows, k -> dy[k][l].abs()).doubleValue();
        }

        BigDecimal[][] batch(Entry entry) {
            return matrix(rows, columns, entry);
        }

        BigDecimal[][] row(IntFunction<BigDecimal> entry) {
            return matrix(1, columns, (k, l) -> entry.apply(l));
        }

        @Override
        public String toString() {
            return "N = " + rows + ", L = " + columns + ", δ = " + delta.doubleValue() + ", seed " + seed;
        }
    }

    /** X, W, b and the gradient dh of a loss, and the equations of an affine layer there. */
    private static final class AffinePoint {
        final String name;
        final int rows;
        final int inputs;
        final int outputs;
        final BigDecimal[][] x;
        final BigDecimal[][] w;
        final BigDecimal[][] b;
        final BigDecimal[][] dh;

        AffinePoint(String name, BigDecimal[][] x, BigDecimal[][] w, BigDecimal[][] b, BigDecimal[][] dh) {
            this.name = name;
            this.rows = x.length;
            this.inputs = w.length;
            this.outputs = b[0].length;
            this.x = x;
            this.w = w;
            this.b = b;
            this.dh = dh;
        }

        static AffinePoint drawn(long seed, int rows, int inputs, int outputs) {
            Random random = new Random(seed);
            return new AffinePoint(
                    "N = " + rows + ", D = " + inputs + ", L = " + outputs + ", seed " + seed,
                    uniform(random, rows, inputs),
                    uniform(random, inputs, outputs),
                    uniform(random, 1, outputs),
                    uniform(random, rows, outputs));
        }

        /** The point where the equations give the sums of the magnitudes of their terms here. */
        AffinePoint ofMagnitudes() {
            return new AffinePoint(name, absolute(x), absolute(w), absolute(b), absolute(dh));
        }

        // (21)
        BigDecimal[][] weightGradient() {
            return matrix(inputs, outputs, (d, l) -> sum(rows, k -> x[k][d].multiply(dh[k][l])));
        }

        // (22)
        BigDecimal[][] biasGradient() {
            return matrix(1, outputs, (r, l) -> sum(rows, k -> dh[k][l]));
        }

        // (23)
        BigDecimal[][] inputGradient() {
            return matrix(rows, inputs, (k, d) -> sum(outputs, l -> dh[k][l].multiply(w[d][l])));
        }

        Affine layer() {
            return new Affine(doubles(w), doubles(b));
        }

        @Override
        public String toString() {
            return name;
        }
    }

    // (7), for one h_ij
    private static BigDecimal chained(
            BigDecimal[][] dy, BigDecimal[][] outputByNormalized, BigDecimal[][] normalizedByInput) {
        BigDecimal sum = BigDecimal.ZERO;
        for (int k = 0; k < dy.length; k++) {
            for (int l = 0; l < dy[k].length; l++) {
                sum = sum.add(dy[k][l].multiply(outputByNormalized[k][l]).multiply(normalizedByInput[k][l]));
            }
        }
        return sum;
    }

    // (9), u
    private static BigDecimal[][] centered(BigDecimal[][] h) {
        BigDecimal[][] mean = mean(h);
        return matrix(h.length, h[0].length, (k, l) -> h[k][l].subtract(mean[0][l]));
    }

    // (9), v
    private static BigDecimal[][] inverseStd(BigDecimal[][] h, BigDecimal delta) {
        BigDecimal[] variance = variance(h)[0];
        return matrix(
                1,
                variance.length,
                (k, l) -> BigDecimal.ONE.divide(variance[l].add(delta).sqrt(PRECISION), PRECISION));
    }

    // (24)
    private static BigDecimal[][] reluGradient(BigDecimal[][] da, BigDecimal[][] y) {
        return matrix(y.length, y[0].length, (k, l) -> y[k][l].signum() > 0 ? da[k][l] : BigDecimal.ZERO);
    }

    // (25)
    private static BigDecimal[][] running(BigDecimal[][] running, BigDecimal momentum, BigDecimal[][] batch) {
        BigDecimal rest = BigDecimal.ONE.subtract(momentum);
        return matrix(1, batch[0].length, (k, l) -> rest.multiply(running[0][l]).add(momentum.multiply(batch[0][l])));
    }

    /** Kronecker's Δ. */
    private static BigDecimal kronecker(int i, int j) {
        return i == j ? BigDecimal.ONE : BigDecimal.ZERO;
    }

    /** ℒ = Σ dy·y: at one point, any loss with this gradient does. */
    private static BigDecimal[][] loss(BigDecimal[][] dy, BigDecimal[][] y) {
        return matrix(1, 1, (r, c) -> sum(y.length, k -> sum(y[k].length, l -> dy[k][l].multiply(y[k][l]))));
    }

    // Points and matrices

    private static List<Point> points() {
        List<Point> points = new ArrayList<>();
        for (int rows : new int[] {2, 3, 5}) {
            for (int columns : new int[] {1, 2, 3}) {
                for (double epsilon : new double[] {0, 1e-5, 0.5}) {
                    points.add(Point.drawn(points.size(), rows, columns, epsilon));
                }
            }
        }
        return points;
    }

    private static List<AffinePoint> affinePoints() {
        List<AffinePoint> points = new ArrayList<>();
        for (int rows : new int[] {2, 3, 5}) {
            for (int inputs : new int[] {1, 2, 4}) {
                for (int outputs : new int[] {1, 2, 3}) {
                    points.add(AffinePoint.drawn(points.size(), rows, inputs, outputs));
                }
            }
        }
        return points;
    }

    private static Point workedPoint() {
        return new Point(
                0,
                decimals("1 2 7", "3 6 1", "5 4 3", "7 0 5"),
                decimals("3 -3 0"),
                decimals("1 2 -1"),
                BigDecimal.valueOf(4),
                decimals("1 0 0", "0 1 0", "0 0 1", "1 1 1"));
    }

    private static BigDecimal[][] decimals(String... rows) {
        return Arrays.stream(rows)
                .map(row -> Arrays.stream(row.split(" ")).map(BigDecimal::new).toArray(BigDecimal[]::new))
                .toArray(BigDecimal[][]::new);
    }

    /** Doubles in [−2, 2). */
    private static BigDecimal[][] uniform(Random random, int rows, int columns) {
        return matrix(rows, columns, (k, l) -> new BigDecimal(4 * random.nextDouble() - 2));
    }

    private static BigDecimal[][] absolute(BigDecimal[][] values) {
        return matrix(values.length, values[0].length, (k, l) -> values[k][l].abs());
    }

    /** The same numbers for the library; what is drawn above are doubles. */
    private static Matrix doubles(BigDecimal[][] values) {
        return Matrix.generate(values.length, values[0].length, (k, l) -> values[k][l].doubleValue());
    }

    // Tolerances

    /** Higham's γₙ (2002, §3.1): what n roundings can do to a sum, relative to the magnitudes of its terms. */
    private static double gammaN(int n) {
        return n * ROUNDOFF / (1 - n * ROUNDOFF);
    }

    /** For each batch (N + 1)R + |μ| ≤ (2N + 3)·max|h| for its mean, as above, and 3 roundings for the update. */
    private static double runningMeanTolerance(int l, Point... batches) {
        double tolerance = 0;
        double magnitude = 0;
        for (Point batch : batches) {
            for (BigDecimal[] row : batch.h) {
                magnitude = Math.max(magnitude, row[l].abs().doubleValue());
            }
            tolerance += (2 * batch.rows + 6) * ROUNDOFF * magnitude;
        }
        return tolerance;
    }

    /** For each batch 5N + 2 for σ², as above, 2 roundings for N/(N − 1) and 3 for the update. */
    private static double runningVarianceTolerance(int l, Point... batches) {
        double tolerance = 0;
        double magnitude = 1; // what the running variance starts at
        for (Point batch : batches) {
            magnitude = Math.max(magnitude, batch.unbiasedVariance()[0][l].doubleValue());
            tolerance += (5 * batch.rows + 7) * ROUNDOFF * magnitude;
        }
        return tolerance;
    }

    // Assertions

    /** ∂f_kl/∂x_ij as an equation gives it. */
    @FunctionalInterface
    private interface Partial {
        BigDecimal at(int k, int l, int i, int j);
    }

    /** Compares all ∂f_kl/∂x_ij with centered differences. */
    private static void assertPartials(
            Object point, UnaryOperator<BigDecimal[][]> f, BigDecimal[][] x, Partial equation) {
        for (int i = 0; i < x.length; i++) {
            for (int j = 0; j < x[i].length; j++) {
                BigDecimal[][] differences = derivative(f, x, i, j);
                for (int k = 0; k < differences.length; k++) {
                    for (int l = 0; l < differences[k].length; l++) {
                        assertThat(equation.at(k, l, i, j))
                                .as("(k, l), (i, j) = (%d, %d), (%d, %d), counted from 0, %s", k, l, i, j, point)
                                .isCloseTo(differences[k][l], within(TOLERANCE));
                    }
                }
            }
        }
    }

    /** Compares all ∂ℒ/∂x_ij with centered differences. */
    private static void assertGradient(
            Object point, UnaryOperator<BigDecimal[][]> loss, BigDecimal[][] x, BigDecimal[][] gradient) {
        assertPartials(point, loss, x, (k, l, i, j) -> gradient[i][j]);
    }

    private static void assertClose(
            String what, Object point, BigDecimal[][] actual, BigDecimal[][] expected, BigDecimal tolerance) {
        assertThat(actual).as("%s, %s", what, point).hasDimensions(expected.length, expected[0].length);
        for (int k = 0; k < expected.length; k++) {
            for (int l = 0; l < expected[k].length; l++) {
                assertThat(actual[k][l])
                        .as("%s, (k, l) = (%d, %d), counted from 0, %s", what, k, l, point)
                        .isCloseTo(expected[k][l], within(tolerance));
            }
        }
    }

    private static void assertClose(
            String what, Object point, Matrix actual, BigDecimal[][] expected, Matrix.EntryFunction tolerance) {
        assertThat(List.of(actual.rows(), actual.columns()))
                .as("shape of %s, %s", what, point)
                .containsExactly(expected.length, expected[0].length);
        for (int k = 0; k < expected.length; k++) {
            for (int l = 0; l < expected[k].length; l++) {
                assertThat(new BigDecimal(actual.get(k, l)))
                        .as("%s, (k, l) = (%d, %d), counted from 0, %s", what, k, l, point)
                        .isCloseTo(expected[k][l], within(new BigDecimal(tolerance.at(k, l))));
            }
        }
    }
}
