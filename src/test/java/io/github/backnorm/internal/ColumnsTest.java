package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Tag("bits")
final class ColumnsTest {
    private static final long SEED = 20260101;
    private static final int N = 21; // columns: two groups of eight lanes and a rest

    /** Digits that make the error of the reference negligible. */
    private static final MathContext EXACT = new MathContext(60);

    private final double[] sums = new double[N];
    private final Random random = new Random(SEED);

    /** Terms of one sign and moderate size: the words in which errors are carried hold them all but for 2⁻⁹⁰. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 17, 130})
    void sums_anyNumberOfRows_exactAndRoundedOnce(int m) {
        double[] a = uniform(m * N);
        double[] before = a.clone();
        Arrays.fill(sums, 7); // what was there before does not count
        Columns.sums(m, N, a, sums);
        assertThat(a).as("a afterwards, seed %d", SEED).isEqualTo(before);
        for (int j = 0; j < N; j++) {
            assertThat(sums[j])
                    .as("column %d, seed %d", j, SEED)
                    .isEqualTo(exactSum(m, a, j).doubleValue());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 17, 130})
    void means_anyNumberOfRows_exactAndRoundedOnce(int m) {
        double[] a = uniform(m * N);
        Arrays.fill(sums, 7);
        Columns.means(m, N, a, sums);
        for (int j = 0; j < N; j++) {
            BigDecimal mean = exactSum(m, a, j).divide(BigDecimal.valueOf(m), EXACT);
            assertThat(sums[j]).as("column %d, seed %d", j, SEED).isEqualTo(mean.doubleValue());
        }
    }

    /** Cold, and again once C2 has compiled them. */
    @Test
    void sumColumns_anyShapeAndKernels_bitsOfOneSumAfterTheOther() {
        for (Kernels kernels : Execution.kernels()) {
            assertBitsOfAllShapes(kernels);
            for (int call = 0; call < 20_000; call++) {
                kernels.sumColumns(3, N, new double[3 * N], DoubleDoubles.zeros(N));
            }
            assertBitsOfAllShapes(kernels);
        }
    }

    private void assertBitsOfAllShapes(Kernels kernels) {
        for (int m : new int[] {0, 1, 2, 31, 32, 33, 65, 100}) {
            for (int n = 0; n <= 19; n++) {
                double[] special = {0.0, -0.0, 1, -1, 0x1p-60, -0x1p-60, 1e16, random.nextDouble()};
                double[] a = random.ints((long) m * n, 0, special.length)
                        .mapToDouble(i -> special[i])
                        .toArray();
                DoubleDoubles words = DoubleDoubles.zeros(n);
                kernels.sumColumns(m, n, a, words);
                for (int j = 0; j < n; j++) {
                    assertThat(words.get(j))
                            .as("%s, %dx%d, column %d, seed %d", kernels, m, n, j, SEED)
                            .isEqualTo(CompensatedSum.of(m, a, j, n).get());
                }
            }
        }
    }

    @Test
    void sums_someColumnsNotFinite_othersUntouched() {
        double[] a = new double[3 * N];
        Arrays.fill(a, 0.1);
        a[0] = Double.NaN;
        a[N + 3] = Double.NEGATIVE_INFINITY;
        a[9] = Double.MAX_VALUE;
        a[N + 9] = Double.MAX_VALUE;
        Columns.sums(3, N, a, sums);
        for (int j = 0; j < N; j++) {
            double plain = a[j] + a[N + j] + a[2 * N + j];
            double tenths =
                    CompensatedSum.of(3, new double[] {0.1, 0.1, 0.1}, 0, 1).value();
            assertThat(sums[j]).as("column %d", j).isEqualTo(Double.valueOf(Double.isFinite(plain) ? tenths : plain));
        }
    }

    private static BigDecimal exactSum(int m, double[] a, int column) {
        BigDecimal sum = BigDecimal.ZERO;
        for (int i = 0; i < m; i++) {
            sum = sum.add(new BigDecimal(a[i * N + column]));
        }
        return sum;
    }

    private double[] uniform(int length) {
        return random.doubles(length).toArray();
    }
}
