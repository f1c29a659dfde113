package io.github.backnorm;

import static io.github.backnorm.Definitions.affine;
import static io.github.backnorm.Definitions.derivative;
import static io.github.backnorm.Definitions.matrix;
import static io.github.backnorm.Definitions.mean;
import static io.github.backnorm.Definitions.normalized;
import static io.github.backnorm.Definitions.output;
import static io.github.backnorm.Definitions.rectified;
import static io.github.backnorm.Definitions.sum;
import static io.github.backnorm.Definitions.variance;
import static io.github.backnorm.Equations.chained;
import static io.github.backnorm.Equations.decimals;
import static io.github.backnorm.Equations.inverseStd;
import static io.github.backnorm.Equations.kronecker;
import static io.github.backnorm.Equations.reluGradient;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.Equations.AffinePoint;
import io.github.backnorm.Equations.Point;
import java.math.BigDecimal;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Checks the mathematics: each right-hand side of docs/derivation.md, in the form that {@link Equations} gives it,
 * against centered differences of the {@link Definitions}, entry by entry. The library takes no part; {@link
 * EquationsTest} checks it.
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

    private static List<Point> points() {
        return Equations.points();
    }

    private static List<AffinePoint> affinePoints() {
        return Equations.affinePoints();
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

    // (1) to (6): the definitions

    /** docs/derivation.md (2) to (6), on columns with σ² = 5 and √(5 + δ) = 3. */
    @Test
    void equations2To6_workedBatch_matchHandComputation() {
        Point p = workedPoint();

        assertClose("μ", p, mean(p.h), decimals("4 3 4"), BigDecimal.ZERO);
        assertClose("σ²", p, variance(p.h), decimals("5 5 5"), BigDecimal.ZERO);
        assertClose("y", p, p.outputOf(p.h), decimals("-2 3 -1", "0 -1 -1", "2 1 -1", "4 5 -1"), ROUNDING);
        assertClose("a", p, rectified(p.outputOf(p.h)), decimals("0 3 0", "0 0 0", "2 1 0", "4 5 0"), ROUNDING);
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
        assertPartials(p, Equations::centered, p.h, p::centeredByInput);
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
                p, Equations::centered, p.h, (k, l, i, j) -> l != j ? BigDecimal.ZERO : k == i ? diagonal : sameColumn);
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
        BigDecimal[][] identity = matrix(p.columns, p.columns, Equations::kronecker);
        BigDecimal[][] zero = p.row(l -> BigDecimal.ZERO);

        assertGradient(p, b -> loss(p.dy, p.outputOf(affine(p.h, identity, b))), zero, zero);
    }

    /** docs/derivation.md (23). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation23_inputGradient_matchesCenteredDifferences(AffinePoint p) {
        assertGradient(p, x -> loss(p.dh, affine(x, p.w, p.b)), p.x, p.inputGradient());
    }

    /** docs/derivation.md (24) away from the kink; h stands in for y, and dy for da. */
    @ParameterizedTest
    @MethodSource("points")
    void equation24_reluGradient_matchesCenteredDifferences(Point p) {
        assertGradient(p, y -> loss(p.dy, rectified(y)), p.h, reluGradient(p.dy, p.h));
    }

    /** ℒ = Σ dy·y: at one point, any loss with this gradient does. */
    private static BigDecimal[][] loss(BigDecimal[][] dy, BigDecimal[][] y) {
        return matrix(1, 1, (r, c) -> sum(y.length, k -> sum(y[k].length, l -> dy[k][l].multiply(y[k][l]))));
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
}
