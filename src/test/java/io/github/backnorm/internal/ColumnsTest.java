package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ColumnsTest {
    private static final long SEED = 20260101;
    private static final int N = 5; // columns

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
        Arrays.fill(sums, Double.NaN);
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
        Columns.means(m, N, a, sums);
        for (int j = 0; j < N; j++) {
            BigDecimal mean = exactSum(m, a, j).divide(BigDecimal.valueOf(m), EXACT);
            assertThat(sums[j]).as("column %d, seed %d", j, SEED).isEqualTo(mean.doubleValue());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3})
    void addRow_anyNumberOfRows_addsToEach(int m) {
        double[] a = uniform(m * N);
        double[] row = uniform(N);
        double[] b = new double[m * N];
        Columns.addRow(m, N, a, row, b);
        for (int at = 0; at < b.length; at++) {
            assertThat(b[at]).as("entry %d, seed %d", at, SEED).isEqualTo(a[at] + row[at % N]);
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
