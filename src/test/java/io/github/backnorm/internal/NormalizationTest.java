package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.internal.threads.Parallel;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** That a column's bits depend on the column alone, whichever way it is computed. The errors are tested elsewhere. */
@Tag("bits")
final class NormalizationTest {
    private static final long SEED = 20261124;

    /** So small that dh, where dy is linear in h, is what is left of the second words. */
    private static final double EPSILON = 1e-30;

    /** What one pass forward and backward gives. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
    private record Pass(double[] y, double[] dh, double[] dgamma, double[] dbeta) {
        /** Over arrays with old content. */
        static Pass of(int m, int n, double[] h, double[] dy, double[] gamma, double[] beta, boolean relu) {
            return by(new Normalization(n, EPSILON), m, n, h, dy, gamma, beta, relu);
        }

        static Pass by(
                Normalization batch,
                int m,
                int n,
                double[] h,
                double[] dy,
                double[] gamma,
                double[] beta,
                boolean relu) {
            Pass pass = new Pass(nans(m * n), nans(m * n), nans(n), nans(n));
            batch.forward(m, h, gamma, beta, least(relu), pass.y);
            double[] masked = dy;
            if (relu) {
                masked = nans(m * n);
                Elementwise.reluBackward(pass.y, dy, masked);
            }
            batch.backward(h, gamma, masked, pass.dgamma, pass.dbeta, pass.dh);
            return pass;
        }

        void assertSameBits(Pass expected, String name) {
            assertThat(y).as("y, %s", name).isEqualTo(expected.y);
            assertThat(dh).as("dh, %s", name).isEqualTo(expected.dh);
            assertThat(dgamma).as("dγ, %s", name).isEqualTo(expected.dgamma);
            assertThat(dbeta).as("dβ, %s", name).isEqualTo(expected.dbeta);
        }

        private static double[] nans(int n) {
            double[] nans = new double[n];
            Arrays.fill(nans, Double.NaN);
            return nans;
        }
    }

    private static double least(boolean relu) {
        return relu ? Normalization.LEAST_OF_RELU : Normalization.NO_LEAST;
    }

    private static double[] uniform(int n, int salt) {
        return new Random(SEED + salt).doubles(n, -1, 1).toArray();
    }

    private static double[] column(int n, double[] a, int j) {
        return IntStream.range(0, a.length / n).mapToDouble(i -> a[i * n + j]).toArray();
    }

    /** Both sides of a block of rows, of a panel of columns, and of any lane count. */
    @ParameterizedTest
    @CsvSource({
        "2, 1", "3, 5", "5, 8", "7, 17", "32, 100", "31, 9", "33, 31", "64, 33", "65, 3", "2, 511", "3, 512", "4, 513",
        "5, 1030"
    })
    void columns_besideOthersAloneOrScaled_sameBits(int m, int n) {
        double[] h = uniform(m * n, 1);
        double[] dy = uniform(m * n, 2);
        double[] gamma = uniform(n, 3);
        double[] beta = uniform(n, 4);
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                h[i * n + j] += j % 2 == 0 ? 1e6 : 0;
                dy[i * n + j] = j % 3 == 0 ? h[i * n + j] : dy[i * n + j];
            }
        }

        Pass pass = Pass.of(m, n, h, dy, gamma, beta, false);

        for (int j = 0; j < n; j++) {
            double[] column = column(n, h, j);
            double[] columnOfDy = column(n, dy, j);
            String name = m + "x" + n + ", column " + j + ", seed " + SEED;
            Pass alone = Pass.of(m, 1, column, columnOfDy, new double[] {gamma[j]}, new double[] {beta[j]}, false);
            Pass beside =
                    new Pass(column(n, pass.y, j), column(n, pass.dh, j), new double[] {pass.dgamma[j]}, new double[] {
                        pass.dbeta[j]
                    });
            beside.assertSameBits(alone, name);
            ScaledColumn scaled = new ScaledColumn(column, EPSILON);
            ScaledColumn.Gradients gradients = scaled.backward(columnOfDy, gamma[j]);
            Offset<Double> cancelled = within(cancelled(column, columnOfDy, gamma[j]));
            assertThat(alone.y).as("scaled y, %s", name).isEqualTo(scaled.forward(gamma[j], beta[j], least(false)));
            assertThat(alone.dh).as("scaled dh, %s", name).containsExactly(gradients.dh(), cancelled);
            assertThat(alone.dgamma[0]).as("scaled dγ, %s", name).isEqualTo(gradients.dgamma());
            assertThat(alone.dbeta[0]).as("scaled dβ, %s", name).isEqualTo(gradients.dbeta());
        }
    }

    /** What of dh is promised: N²·2⁻⁹⁶ of the size of what is added up to form it, of no more than √N deviations. */
    private static double cancelled(double[] h, double[] dy, double gamma) {
        int m = h.length;
        double mean = Arrays.stream(h).average().orElseThrow();
        double variance =
                Arrays.stream(h).map(x -> (x - mean) * (x - mean)).average().orElseThrow();
        double largest = Arrays.stream(dy).map(Math::abs).max().orElseThrow();
        return m * m * 0x1p-96 * Math.abs(gamma) / Math.sqrt(variance) * (2 + Math.sqrt(m)) * largest;
    }

    /**
     * Sums stay within (S) of docs/numerics.md: {@code u²·(23.2·N + 36.1)·Σ|t|}. All terms but the first are below half
     * an ulp of the sum, and so add up in its second word. Their last bits make each of these additions round down.
     */
    @Test
    void sums_termsFarBelowSum_withinBound() {
        int m = 65536;
        double[] h = new double[m];
        double[] dy = new double[m];
        Arrays.fill(h, Math.scalb(1 + 0x1.fffp-39, -55));
        Arrays.fill(dy, 1);
        h[0] = 1;
        double[] squares = new double[m];
        Arrays.fill(squares, squareThatRoundsDown());
        squares[0] = 1;
        for (Kernels kernels : Execution.kernels()) {
            Normalization batch = new Normalization(1, EPSILON, () -> kernels);

            assertSumWithinBound(batch.beginBlock(m, h), 0, h, dy);
            assertSumWithinBound(batch.beginBlock(m, squares), 1, squares, squares);
            assertSumWithinBound(batch.sumGradients(squares, h), 0, h, dy);
            assertSumWithinBound(batch.sumGradients(squares, squares), 1, squares, squares);
        }
    }

    /** A double about 2^−27.5 whose square, rounded, ends in bits that are all lost in a sum of 2^15 such, to below. */
    private static double squareThatRoundsDown() {
        double x = 0x1.6p-28;
        while ((Double.doubleToRawLongBits(x * x) & 0x7fff) < 0x3000
                || (Double.doubleToRawLongBits(x * x) & 0x7fff) >= 0x4000) {
            x = Math.nextUp(x);
        }
        return x;
    }

    private static void assertSumWithinBound(BlockSums sums, int index, double[] a, double[] b) {
        BigDecimal exact = BigDecimal.ZERO;
        for (int i = 0; i < a.length; i++) {
            exact = exact.add(new BigDecimal(a[i]).multiply(new BigDecimal(b[i])));
        }
        BigDecimal sum = new BigDecimal(sums.hi()[index]).add(new BigDecimal(sums.lo()[index]));
        double bound = 0x1p-106 * (23.2 * a.length + 36.1) * exact.doubleValue(); // the terms are positive
        assertThat(sum.subtract(exact).abs().doubleValue()).isLessThanOrEqualTo(bound);
    }

    /** As (S) says of Σd². The mean is near 0, so that the rest of the variance adds less than {@code u²·N·Σu²}. */
    @Test
    void scaledColumn_termsFarBelowSum_withinBound() {
        int m = 65536;
        double[] h = new double[m];
        Arrays.fill(h, squareThatRoundsDown());
        h[0] = 0; // the pivot
        h[1] = 1;
        BigDecimal sum = BigDecimal.ZERO;
        BigDecimal squares = BigDecimal.ZERO;
        for (double entry : h) {
            BigDecimal exact = new BigDecimal(entry);
            sum = sum.add(exact);
            squares = squares.add(exact.multiply(exact));
        }
        BigDecimal expected = squares.subtract(sum.multiply(sum).divide(BigDecimal.valueOf(m)));

        DoubleDouble variance = new ScaledColumn(h, EPSILON).unbiasedVariance();

        BigDecimal actual =
                new BigDecimal(variance.hi()).add(new BigDecimal(variance.lo())).multiply(BigDecimal.valueOf(m - 1));
        assertThat(actual.subtract(expected).abs().doubleValue())
                .isLessThanOrEqualTo(0x1p-106 * (24.2 * m + 36.1) * expected.doubleValue());
    }

    @Test
    void columns_onSeveralThreads_sameBits() {
        int m = 40;
        int n = 300;
        double[] h = uniform(m * n, 17);
        double[] dy = uniform(m * n, 18);
        double[] gamma = uniform(n, 19);
        for (Kernels kernels : Execution.kernels(new Parallel(1, 0))) {
            Pass pass = Pass.by(new Normalization(n, EPSILON, () -> kernels), m, n, h, dy, gamma, gamma, true);
            WatchedThreads threads = new WatchedThreads(3);
            List<Kernels> parallel = Execution.kernels(threads);
            Kernels same = parallel.get(kernels.lanes() == 1 ? 0 : 1);
            Normalization batch = new Normalization(n, EPSILON, () -> same);
            for (int run = 0;
                    run < 200 || (run < 20_000 && !threads.haveHelped());
                    run++) { // a busy machine may not help
                Pass.by(batch, m, n, h, dy, gamma, gamma, true).assertSameBits(pass, kernels + ", seed " + SEED);
            }
            assertThat(threads.haveHelped())
                    .as("%s: others than this thread have worked", kernels)
                    .isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"2, 3", "5, 9", "70, 17", "3, 600"})
    void relu_inOnePass_sameBitsAsApart(int m, int n) {
        double[] h = uniform(m * n, 5);
        double[] dy = uniform(m * n, 6);
        double[] gamma = uniform(n, 7);
        double[] beta = uniform(n, 8);
        for (int i = 0; i < m; i++) {
            h[i * n + n / 2] *= 1e-200; // not for the kernels, and nearly constant beside ε
            h[i * n] = 1; // constant: y is β, dγ is 0
        }
        dy[n - 1] = Double.POSITIVE_INFINITY;

        Pass fused = Pass.of(m, n, h, dy, gamma, beta, true);

        Pass plain = Pass.of(m, n, h, dy, gamma, beta, false);
        double[] a = new double[m * n];
        double[] masked = new double[m * n];
        Elementwise.relu(plain.y, a);
        Elementwise.reluBackward(plain.y, dy, masked);
        Pass apart = Pass.of(m, n, h, masked, gamma, beta, false);
        assertThat(fused.y).as("a, seed %d", SEED).isEqualTo(a);
        assertThat(fused.dh).as("dh, seed %d", SEED).isEqualTo(apart.dh);
        assertThat(fused.dgamma).as("dγ, seed %d", SEED).isEqualTo(apart.dgamma);
        assertThat(fused.dbeta).as("dβ, seed %d", SEED).isEqualTo(apart.dbeta);
    }

    /** The first batch has columns with a pivot, columns that are computed apart forward, backward, and a NaN. */
    @Test
    void batches_oneAfterTheOther_sameBitsAsAlone() {
        int n = 20;
        double[] gamma = uniform(n, 20);
        double[] h = uniform(50 * n, 21);
        double[] dy = uniform(50 * n, 22);
        double[] extreme = h.clone();
        double[] extremeDy = dy.clone();
        for (int i = 0; i < 50; i++) {
            extreme[i * n] += 1e6;
            extreme[i * n + 1] *= 1e-200;
            extremeDy[i * n + 2] *= 1e200;
        }
        extreme[3] = Double.NaN;
        Normalization batch = new Normalization(n, EPSILON);

        for (int m : new int[] {50, 7, 33}) {
            Pass.by(batch, m, n, extreme, extremeDy, gamma, gamma, true);
            Pass pass = Pass.by(batch, m, n, h, dy, gamma, gamma, true);
            double[] running = uniform(2 * n, 23);
            double[] oldMean = Arrays.copyOf(running, n);
            double[] oldVariance = Arrays.copyOfRange(running, n, 2 * n);
            double[] mean = new double[n];
            double[] variance = new double[n];
            batch.moveRunning(0.1, oldMean, oldVariance, mean, variance);

            String name = m + " rows, seed " + SEED;
            pass.assertSameBits(Pass.of(m, n, h, dy, gamma, gamma, true), name);
            for (int j = 0; j < n; j++) {
                double[] column = Arrays.copyOf(column(n, h, j), m);
                ScaledColumn alone = new ScaledColumn(column, EPSILON);
                assertThat(mean[j]).as("mean, %s", name).isEqualTo(ScaledColumn.moved(0.1, running[j], alone.mean()));
                assertThat(variance[j])
                        .as("variance, %s", name)
                        .isEqualTo(ScaledColumn.moved(0.1, running[n + j], alone.unbiasedVariance()));
            }
        }
    }

    @Test
    void backwardParameters_anyBatch_gradientsOfBackward() {
        double[] h = uniform(35, 9);
        double[] dy = uniform(35, 10);
        double[] gamma = uniform(5, 11);
        double[] dgamma = new double[5];
        double[] dbeta = new double[5];
        Pass pass = Pass.of(7, 5, h, dy, gamma, gamma, false);

        Normalization batch = new Normalization(5, EPSILON);
        batch.forward(7, h, gamma, gamma, least(false), new double[35]);
        batch.backwardParameters(h, gamma, dy, dgamma, dbeta);

        assertThat(dgamma).as("seed %d", SEED).isEqualTo(pass.dgamma);
        assertThat(dbeta).as("seed %d", SEED).isEqualTo(pass.dbeta);
    }

    @Test
    void forward_memoryRunsOut_worksOnceThereIsSome() {
        assertThat(ChildJvm.run(LittleMemory.class, "-XX:+UseSerialGC", "-Xmx100m")
                        .lines())
                .containsExactly("OutOfMemoryError", "0.0");
    }

    /** Makes panels of 40 MB where there are 8, then where there is enough, and prints what comes of it. */
    static final class LittleMemory {
        public static void main(String[] arguments) {
            int n = 150_000;
            double[] h = new double[2 * n];
            double[] y = new double[2 * n];
            double[] ones = new double[n];
            Normalization batch = new Normalization(n, 1);
            List<byte[]> filling = new ArrayList<>();
            try {
                while (true) {
                    filling.add(new byte[1 << 20]);
                }
            } catch (OutOfMemoryError full) {
                filling.subList(0, 8).clear();
            }
            for (int i = 0; i < 2; i++) {
                try {
                    batch.forward(2, h, ones, h, least(false), y);
                    System.out.println(y[0]);
                } catch (OutOfMemoryError | RuntimeException thrown) {
                    System.out.println(thrown.getClass().getSimpleName());
                }
                filling.clear();
            }
        }
    }

    /** Of no kernel are the second column, and entries that are not finite or overflow on the way. */
    @ParameterizedTest
    @ValueSource(ints = {3, 8, 21})
    void given_rowsTogetherOrAlone_sameBits(int n) {
        int m = 40;
        double[] h = uniform(m * n, 12);
        double[] mean = uniform(n, 13);
        double[] variance = uniform(n, 14);
        double[] gamma = uniform(n, 15);
        Arrays.setAll(variance, j -> variance[j] * variance[j]);
        double[] beta = uniform(n, 16);
        gamma[1] = 1e200;
        gamma[2] = 1e100;
        beta[0] = 1e200; // of any size: what overflows on the way is NaN or infinite
        beta[2] = -Double.MAX_VALUE;
        double[] special = {Double.NaN, Double.POSITIVE_INFINITY, -1e308, 1e300, Double.MAX_VALUE};
        for (int i = 0; i < special.length; i++) {
            Arrays.fill(h, (3 + 7 * i) * n, (4 + 7 * i) * n, special[i]);
        }
        GivenNormalization given = new GivenNormalization(mean, variance, EPSILON, gamma, beta);
        for (boolean relu : new boolean[] {false, true}) {
            double[] together = new double[m * n];
            given.apply(m, h, least(relu), together);

            for (int i = 0; i < m; i++) {
                double[] alone = new double[n];
                given.apply(1, Arrays.copyOfRange(h, i * n, (i + 1) * n), least(relu), alone);
                assertThat(alone)
                        .as("row %d, relu %s, seed %d", i, relu, SEED)
                        .isEqualTo(Arrays.copyOfRange(together, i * n, (i + 1) * n));
            }
            double[] expected = new double[m * n];
            for (int k = 0; k < m * n; k++) {
                int j = k % n;
                expected[k] = new ScaledColumn(mean[j], variance[j], EPSILON).apply(h[k], gamma[j], beta[j]);
            }
            if (relu) {
                Elementwise.relu(expected, expected);
            }
            assertThat(together).as("relu %s, seed %d", relu, SEED).isEqualTo(expected);
        }
    }
}
