package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Sums against exact arithmetic, within 11·n·u²·Σ|t| for terms t. */
final class CompensatedSumTest {
    private static final long SEED = 20261123;
    private static final int COLUMNS = 50;
    private static final BigDecimal U = new BigDecimal(Math.scalb(1.0, -53));
    private static final BigDecimal ELEVEN_U = U.multiply(BigDecimal.valueOf(11));

    private final Random random = new Random(SEED);

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 100, 1000})
    void get_anyTerms_withinBound(int n) {
        double[][] terms = terms(n);
        for (int j = 0; j < COLUMNS; j++) {
            double[] column = column(terms, j);
            assertWithinBound(sumOf(column), column);
        }
    }

    private static void assertWithinBound(CompensatedSum sum, double[] terms) {
        BigDecimal exact = BigDecimal.ZERO;
        BigDecimal size = BigDecimal.ZERO;
        for (double term : terms) {
            exact = exact.add(new BigDecimal(term));
            size = size.add(new BigDecimal(term).abs());
        }
        BigDecimal bound =
                ELEVEN_U.multiply(U).multiply(BigDecimal.valueOf(terms.length)).multiply(size);
        BigDecimal words =
                new BigDecimal(sum.get().hi()).add(new BigDecimal(sum.get().lo()));

        assertThat(words.subtract(exact).abs())
                .as("error of the sum of %s, seed %d", Arrays.toString(terms), SEED)
                .isLessThanOrEqualTo(bound);
        assertThat(sum.value()).as("rounded, seed %d", SEED).isEqualTo(words.doubleValue());
    }

    /** Ordinary ones, wide ranges, and those that cancel but for their roundings. */
    private double[][] terms(int n) {
        double[][] terms = new double[n][COLUMNS];
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < COLUMNS; j++) {
                double term = 2 * random.nextDouble() - 1;
                int spread = j % 5 * 30;
                terms[k][j] = spread == 0 ? term : Math.scalb(term, random.nextInt(spread));
                if (j % 2 == 1 && k >= (n + 1) / 2) {
                    double opposite = -terms[n - 1 - k][j];
                    terms[k][j] = opposite + (random.nextInt(3) - 1) * Math.ulp(opposite);
                }
            }
        }
        return terms;
    }

    @Test
    void value_sumsThatCancel_theirRest() {
        assertSum(1, 1e16, 1, -1e16);
        assertSum(0x1p-60, 1, 0x1p-60, -1);
        assertSum(0x1p-60, 0x1p-60, 1, -1);
        assertSum(2, 1, 1e100, 1, -1e100);
        assertSum(-0x1p-110, 1, 0x1p-60, -0x1p-110, -1, -0x1p-60);
        assertSum(3, 0x1p53, 1, 1, 1, -0x1p53);
        assertSum(Double.MIN_VALUE, 1e-300, Double.MIN_VALUE, -1e-300);
        assertSum(Double.MAX_VALUE, Double.MAX_VALUE, -1, 1);
        assertSum(0.1, 0.1);
    }

    private static void assertSum(double expected, double... terms) {
        assertThat(sumOf(terms).value()).as(Arrays.toString(terms)).isEqualTo(expected);
    }

    /**
     * The decimal numbers are doubles that do not quite cancel; the third term is below what two words hold of the
     * first.
     */
    @Test
    void value_hostileSum_withinBound() {
        double[] terms = {1, 1e-17, 1e-34, -1, -1e-17};

        assertWithinBound(sumOf(terms), terms);
    }

    @Test
    void value_noTerms_zero() {
        assertThat(new CompensatedSum().value()).isEqualTo(0);
        assertThat(new CompensatedSum().get()).isEqualTo(DoubleDouble.ZERO);
    }

    @Test
    void of_partOfArray_addsThose() {
        double[] terms = {5, 1e16, 1, -1e16, 7};

        assertThat(CompensatedSum.of(3, terms, 1, 1).value()).isEqualTo(1);
        assertThat(CompensatedSum.of(5, terms, 0, 1).value()).isEqualTo(13);
        assertThat(CompensatedSum.of(3, terms, 0, 2).value()).isEqualTo(13);
        assertThat(CompensatedSum.of(0, terms, 2, 1).value()).isEqualTo(0);
    }

    @Test
    void value_notFinite_asInPlainArithmetic() {
        double infinity = Double.POSITIVE_INFINITY;
        double[][] cases = {
            {infinity, 1, 2},
            {1, -infinity, 2},
            {1, 2, infinity},
            {infinity, -infinity, 1},
            {1, Double.NaN, 2},
            {infinity, infinity, 1},
            {Double.NaN, infinity, -infinity}
        };
        for (double[] terms : cases) {
            double plain = terms[0] + terms[1] + terms[2];

            assertThat(sumOf(terms).value()).as(Arrays.toString(terms)).isEqualTo(Double.valueOf(plain));
            assertThat(sumOf(terms).get()).as(Arrays.toString(terms)).isEqualTo(DoubleDouble.of(plain));
        }
    }

    private static CompensatedSum sumOf(double... terms) {
        CompensatedSum sum = new CompensatedSum();
        for (double term : terms) {
            sum.add(term);
        }
        return sum;
    }

    private static double[] column(double[][] rows, int j) {
        return Arrays.stream(rows).mapToDouble(row -> row[j]).toArray();
    }
}
