package io.github.backnorm;

import static io.github.backnorm.Definitions.affine;
import static io.github.backnorm.Definitions.rectified;
import static io.github.backnorm.Definitions.sum;
import static io.github.backnorm.Equations.absolute;
import static io.github.backnorm.Equations.decimals;
import static io.github.backnorm.Equations.reluGradient;
import static io.github.backnorm.Equations.running;
import static io.github.backnorm.Equations.uniform;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.Equations.AffinePoint;
import io.github.backnorm.Equations.Point;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Checks the code: what the library computes against the equations of docs/derivation.md, in the form that {@link
 * Definitions} and {@link Equations} give them, to an error bound. {@link DerivationTest} checks the equations.
 */
final class EquationsTest {
    /** The error of one rounding to double, relative to its result. */
    private static final double ROUNDOFF = 0x1p-53;

    private static List<Point> points() {
        return Equations.points();
    }

    private static List<AffinePoint> affinePoints() {
        return Equations.affinePoints();
    }

    // (1) to (6): the definitions

    /** docs/derivation.md (1). */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equation1_affineForward_matchesDefinition(AffinePoint p) {
        BigDecimal[][] magnitudes = affine(absolute(p.x), absolute(p.w), absolute(p.b));

        Matrix h = layer(p).forward(doubles(p.x));

        // An entry is D fused multiply-adds and the addition of the bias.
        assertClose("h", p, h, affine(p.x, p.w, p.b), (k, l) -> gammaN(p.inputs + 1) * magnitudes[k][l].doubleValue());
    }

    /** docs/derivation.md (2), (3): with momentum 1 the running statistics (25) are those of the batch. */
    @ParameterizedTest
    @MethodSource("points")
    void equations2And3_batchStatistics_matchDefinitions(Point p) {
        BatchNorm layer = layer(p, 1);

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
        Matrix y = layer(p, 0.1).forward(doubles(p.h));

        assertClose("y", p, y, p.outputOf(p.h), (k, l) -> outputTolerance(p, l));
    }

    /** docs/derivation.md (6), which is exact in doubles. */
    @ParameterizedTest
    @MethodSource("points")
    void equation6_reluForward_equalsDefinition(Point p) {
        assertThat(new ReLU().forward(doubles(p.h))).as("a, %s", p).isEqualTo(doubles(rectified(p.h)));
    }

    // (15) to (20): the gradients of batch norm

    /** docs/derivation.md (16), (17), (18). */
    @ParameterizedTest
    @MethodSource("points")
    void equations16To18_batchNormBackward_matchesEquations(Point p) {
        BatchNorm layer = layer(p, 0.1);
        layer.forward(doubles(p.h));

        Matrix dh = layer.backward(doubles(p.dy));

        assertClose("dγ", p, layer.gamma().gradient(), p.gammaGradient(), (k, l) -> gammaGradientTolerance(p, l));
        assertClose("dβ", p, layer.beta().gradient(), p.betaGradient(), (k, l) -> betaGradientTolerance(p, l));
        assertClose("dh", p, dh, p.inputGradient(), (i, j) -> inputGradientTolerance(p, i, j));
    }

    // (21) to (24): the layers around it

    /** docs/derivation.md (21), (22), (23): an entry is a sum of N, N and L terms. */
    @ParameterizedTest
    @MethodSource("affinePoints")
    void equations21To23_affineBackward_matchesEquations(AffinePoint p) {
        AffinePoint q = p.ofMagnitudes();
        BigDecimal[][] dwMagnitudes = q.weightGradient();
        BigDecimal[][] dbMagnitudes = q.biasGradient();
        BigDecimal[][] dxMagnitudes = q.inputGradient();
        Affine layer = layer(p);
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
        BatchNorm layer = layer(p, momentum);

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
        BatchNorm layer = layer(p, 0.1);
        layer.setRunningStatistics(doubles(runningMean), doubles(runningVariance));

        assertClose("y", p, layer.infer(doubles(p.h)), y, (k, l) -> evaluatedTolerance(p, l, y[k][l]));
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

    // Layers and matrices

    private static BatchNorm layer(Point p, double momentum) {
        BatchNorm layer = new BatchNorm(p.columns, p.delta.doubleValue(), momentum);
        layer.gamma().setValue(doubles(p.gamma));
        layer.beta().setValue(doubles(p.beta));
        return layer;
    }

    private static Affine layer(AffinePoint p) {
        return new Affine(doubles(p.w), doubles(p.b));
    }

    /** The same numbers for the library. Points are made of doubles, so nothing is rounded. */
    private static Matrix doubles(BigDecimal[][] values) {
        return Matrix.generate(values.length, values[0].length, (k, l) -> values[k][l].doubleValue());
    }

    // Tolerances

    /** Higham's γₙ (2002, §3.1): what n roundings can do to a sum, relative to the magnitudes of its terms. */
    private static double gammaN(int n) {
        return n * ROUNDOFF / (1 - n * ROUNDOFF);
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

    private static double outputTolerance(Point p, int l) {
        double magnitude = p.gamma[0][l].abs().doubleValue() * rangeOfNormalized(p, l)
                + p.beta[0][l].abs().doubleValue();
        return (4 * p.rows + 10) * ROUNDOFF * magnitude;
    }

    private static double betaGradientTolerance(Point p, int l) {
        return p.rows * ROUNDOFF * sumOfMagnitudes(p, l);
    }

    private static double gammaGradientTolerance(Point p, int l) {
        return (5 * p.rows + 8) * ROUNDOFF * rangeOfNormalized(p, l) * sumOfMagnitudes(p, l);
    }

    private static double inputGradientTolerance(Point p, int i, int j) {
        double range = rangeOfNormalized(p, j);
        double magnitude = p.dy[i][j].abs().doubleValue() + (1 + range * range) * sumOfMagnitudes(p, j) / p.rows;
        double factor = p.gamma[0][j].abs().multiply(p.v[0][j]).doubleValue();
        return (12 * p.rows + 28) * ROUNDOFF * factor * magnitude;
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

    /** 5.5 roundings of y − β: h − mean 1, √(variance + δ) 1.5, its inverse 1, two products 2; one of y. */
    private static double evaluatedTolerance(Point p, int l, BigDecimal y) {
        BigDecimal magnitude = y.subtract(p.beta[0][l]).abs().add(p.beta[0][l].abs());
        return 8 * ROUNDOFF * magnitude.doubleValue();
    }

    private static double rangeOfNormalized(Point p, int l) {
        List<BigDecimal> column =
                Arrays.stream(p.xHat).map(row -> row[l]).sorted().toList();
        return column.get(p.rows - 1).subtract(column.get(0)).doubleValue();
    }

    private static double sumOfMagnitudes(Point p, int l) {
        return sum(p.rows, k -> p.dy[k][l].abs()).doubleValue();
    }

    // Assertions

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
