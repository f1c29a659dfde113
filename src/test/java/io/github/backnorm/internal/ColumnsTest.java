package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Single roundings leave no choice and column sums have a promised order: these are tested for equal bits. What takes k
 * roundings is tested against exact arithmetic within {@code γₖ = k·u/(1 − k·u)}, {@code u = 2⁻⁵³} (Higham, 2002, §3.1),
 * so that more accurate arithmetic passes too.
 */
final class ColumnsTest {
    private static final long SEED = 20260101;
    private static final int N = 5; // columns

    /** Digits that make the error of the reference negligible. */
    private static final MathContext EXACT = new MathContext(60);

    /** {@code γ·((h − μ)·v) + β}: a difference, a product, a fused multiply-add. */
    private static final int NORMALIZE_ROUNDINGS = 3;

    /** {@code γ·v·(dy − dβ/m − ĥ·dγ/m)}: most befall dβ, in its quotient, the difference, the fma, γ·v and the product. */
    private static final int BACKWARD_ROUNDINGS = 5;

    private final Random random = new Random(SEED);

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 17, 130})
    void sumsAndSingleRoundings_anyNumberOfRows_equalPlainLoops(int m) {
        double[] a = uniform(m * N);
        double[] factor = uniform(N);
        double[] shift = uniform(N);
        double[] expectedSums = new double[N];
        double[] expectedShifted = new double[m * N];
        double[] expectedScaled = new double[m * N];
        double[] expectedBoth = new double[m * N];
        for (int j = 0; j < N; j++) {
            for (int at = j; at < m * N; at += N) {
                expectedSums[j] += a[at];
                expectedShifted[at] = a[at] + shift[j];
                expectedScaled[at] = a[at] * factor[j];
                expectedBoth[at] = Math.fma(factor[j], a[at], shift[j]);
            }
        }
        double[] before = a.clone();
        double[] sums = dirty(N);
        double[] shifted = dirty(m * N);
        double[] scaled = dirty(m * N);
        double[] both = dirty(m * N);
        Columns.sums(m, N, a, sums);
        Columns.addRow(m, N, a, shift, shifted);
        Columns.scale(m, N, a, factor, scaled);
        Columns.scaleAndShift(m, N, a, factor, shift, both);
        assertThat(a).as("a afterwards, seed %d", SEED).isEqualTo(before);
        assertThat(sums).as("sums, seed %d", SEED).isEqualTo(expectedSums);
        assertThat(shifted).as("addRow, seed %d", SEED).isEqualTo(expectedShifted);
        assertThat(scaled).as("scale, seed %d", SEED).isEqualTo(expectedScaled);
        assertThat(both).as("scaleAndShift, seed %d", SEED).isEqualTo(expectedBoth);
        Columns.scale(m, N, a, factor, a);
        assertThat(a).as("scale in place, seed %d", SEED).isEqualTo(expectedScaled);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 17, 130})
    void dots_anyNumberOfRows_withinRoundingOfExact(int m) {
        double[] a = uniform(m * N);
        double[] b = uniform(m * N);
        double[] dots = dirty(N);
        Columns.dots(m, N, a, b, dots);
        for (int j = 0; j < N; j++) {
            BigDecimal exact = BigDecimal.ZERO;
            BigDecimal magnitude = BigDecimal.ZERO;
            for (int at = j; at < m * N; at += N) {
                BigDecimal term = exact(a[at]).multiply(exact(b[at]));
                exact = exact.add(term);
                magnitude = magnitude.add(term.abs());
            }
            assertWithin(gamma(m).multiply(magnitude), dots[j], exact, "dot of column " + j);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 10})
    void center_constantColumns_deviationsExactlyZero(int m) {
        double[] constants = {0.1, 1e300, -0.7, Double.MIN_VALUE, Double.MAX_VALUE};
        double[] h =
                IntStream.range(0, m * N).mapToDouble(at -> constants[at % N]).toArray();
        double[] mean = dirty(N);
        double[] u = dirty(m * N);
        Columns.center(m, N, h, mean, u);
        assertThat(mean).isEqualTo(constants);
        assertThat(u).isEqualTo(new double[m * N]);
    }

    /**
     * With S the largest distance from the entry in row 0: the differences from it err by u·S, their mean by
     * {@code γ₍m₊₁₎·S} (themselves, m − 1 additions, a division), and the last difference, at most 2·S, rounds once:
     * together at most {@code γ₍m₊₅₎·S}. The mean is as accurate, and rounded to double.
     */
    @ParameterizedTest
    @CsvSource({"1e8, 1e-6", "1e8, 1", "-1e15, 10", "3, 1e-12", "0, 1"})
    void center_largeMean_errorRelativeToSpread(double offset, double spread) {
        int m = 130;
        double[] h = Arrays.stream(uniform(m * N)).map(v -> offset + spread * v).toArray();
        double[] before = h.clone();
        double[] mean = dirty(N);
        double[] u = dirty(m * N);
        Columns.center(m, N, h, mean, u);
        assertThat(h).as("h afterwards, seed %d", SEED).isEqualTo(before);
        for (int j = 0; j < N; j++) {
            BigDecimal sum = BigDecimal.ZERO;
            BigDecimal distance = BigDecimal.ZERO;
            for (int at = j; at < m * N; at += N) {
                sum = sum.add(exact(h[at]));
                distance = distance.max(exact(h[at]).subtract(exact(h[j])).abs());
            }
            BigDecimal exactMean = sum.divide(BigDecimal.valueOf(m), EXACT);
            BigDecimal bound = gamma(m + 5).multiply(distance);
            for (int at = j; at < m * N; at += N) {
                assertWithin(bound, u[at], exact(h[at]).subtract(exactMean), "deviation " + at);
            }
            BigDecimal rounding = gamma(1).multiply(exactMean.abs());
            assertWithin(bound.add(rounding), mean[j], exactMean, "mean of column " + j);
        }
    }

    @Test
    void normalize_largeMean_errorRelativeToTerms() {
        int m = 7;
        double[] mean = Arrays.stream(uniform(N)).map(v -> 1e8 + v).toArray();
        double[] h = Arrays.stream(uniform(m * N)).map(v -> 1e8 + v).toArray();
        double[] inverseStd = uniform(N);
        double[] gamma = uniform(N);
        double[] beta = uniform(N);
        double[] y = dirty(m * N);
        Columns.normalize(m, N, h, mean, inverseStd, gamma, beta, y);
        for (int at = 0; at < m * N; at++) {
            int j = at % N;
            BigDecimal term = exact(h[at]).subtract(exact(mean[j])).multiply(exact(inverseStd[j]));
            term = term.multiply(exact(gamma[j]));
            BigDecimal magnitude = term.abs().add(exact(beta[j]).abs());
            BigDecimal bound = gamma(NORMALIZE_ROUNDINGS).multiply(magnitude);
            assertWithin(bound, y[at], term.add(exact(beta[j])), "y " + at);
        }
    }

    @Test
    void normalizeBackward_uniformEntries_errorRelativeToTerms() {
        int m = 7;
        double[] dy = uniform(m * N);
        double[] xHat = uniform(m * N);
        double[] gamma = uniform(N);
        double[] inverseStd = uniform(N);
        double[] dgamma = uniform(N);
        double[] dbeta = uniform(N);
        double[] dh = dirty(m * N);
        Columns.normalizeBackward(m, N, dy, xHat, gamma, inverseStd, dgamma, dbeta, dh);
        for (int at = 0; at < m * N; at++) {
            int j = at % N;
            BigDecimal factor = exact(gamma[j]).multiply(exact(inverseStd[j]));
            BigDecimal meanDy = exact(dbeta[j]).divide(BigDecimal.valueOf(m), EXACT);
            BigDecimal alongXHat = exact(xHat[at]).multiply(exact(dgamma[j])).divide(BigDecimal.valueOf(m), EXACT);
            BigDecimal sum = exact(dy[at]).subtract(meanDy).subtract(alongXHat);
            BigDecimal magnitude = exact(dy[at]).abs().add(meanDy.abs()).add(alongXHat.abs());
            BigDecimal bound = gamma(BACKWARD_ROUNDINGS).multiply(magnitude).multiply(factor.abs());
            assertWithin(bound, dh[at], factor.multiply(sum), "dh " + at);
        }
    }

    private static void assertWithin(BigDecimal bound, double actual, BigDecimal exact, String what) {
        assertThat(exact(actual).subtract(exact).abs())
                .as("error of %s, seed %d", what, SEED)
                .isLessThanOrEqualTo(bound);
    }

    private static BigDecimal gamma(int k) {
        BigDecimal ku = exact(k * 0x1p-53);
        return ku.divide(BigDecimal.ONE.subtract(ku), EXACT);
    }

    private static BigDecimal exact(double value) {
        return new BigDecimal(value);
    }

    /** In [−1, 1), other ones at each call. */
    private double[] uniform(int size) {
        return random.doubles(size, -1, 1).toArray();
    }

    /** An array for results, with something else in it. */
    private static double[] dirty(int size) {
        double[] array = new double[size];
        Arrays.fill(array, 7);
        return array;
    }
}
