package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Sums of columns against exact arithmetic, within 11·u·(n·u·Σ|t| + Σ|l|) for terms t with low words l. */
final class CompensatedSumsTest {
    private static final long SEED = 20261123;
    private static final int COLUMNS = 50;
    private static final BigDecimal U = new BigDecimal(Math.scalb(1.0, -53));
    private static final BigDecimal ELEVEN_U = U.multiply(BigDecimal.valueOf(11));

    private final Random random = new Random(SEED);

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 100, 1000})
    void get_anyTerms_withinBound(int n) {
        double[][] terms = terms(n);
        CompensatedSums sums = new CompensatedSums(COLUMNS);
        for (double[] row : terms) {
            sums.add(row, 0);
        }

        for (int j = 0; j < COLUMNS; j++) {
            assertWithinBound(sums, j, column(terms, j), new double[n]);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 100, 1000})
    void get_termsOfTwoWords_withinBound(int n) {
        double[][] terms = terms(n);
        double[][] lowWords = new double[n][COLUMNS];
        CompensatedSums sums = new CompensatedSums(COLUMNS);
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < COLUMNS; j++) {
                lowWords[k][j] = Math.ulp(terms[k][j]) * (random.nextDouble() - 0.5);
            }
            sums.add(terms[k].clone(), lowWords[k].clone());
        }

        for (int j = 0; j < COLUMNS; j++) {
            assertWithinBound(sums, j, column(terms, j), column(lowWords, j));
        }
    }

    private static void assertWithinBound(CompensatedSums sums, int j, double[] terms, double[] lowWords) {
        int n = terms.length;
        BigDecimal exact = BigDecimal.ZERO;
        BigDecimal termSize = BigDecimal.ZERO;
        BigDecimal lowSize = BigDecimal.ZERO;
        for (int k = 0; k < n; k++) {
            exact = exact.add(new BigDecimal(terms[k])).add(new BigDecimal(lowWords[k]));
            termSize = termSize.add(new BigDecimal(terms[k]).abs());
            lowSize = lowSize.add(new BigDecimal(lowWords[k]).abs());
        }
        BigDecimal bound = ELEVEN_U.multiply(
                U.multiply(BigDecimal.valueOf(n)).multiply(termSize).add(lowSize));
        DoubleDouble sum = sums.get(j);
        BigDecimal words = new BigDecimal(sum.hi()).add(new BigDecimal(sum.lo()));

        assertThat(words.subtract(exact).abs())
                .as("error of the sum of %d terms, column %d, seed %d", n, j, SEED)
                .isLessThanOrEqualTo(bound);
        assertThat(sums.value(j)).as("rounded sum %d, seed %d", j, SEED).isEqualTo(words.doubleValue());
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
        assertThat(sumOf(terms).value(0)).as(Arrays.toString(terms)).isEqualTo(expected);
    }

    /**
     * The decimal numbers are doubles that do not quite cancel; the third term is below what two words hold of the
     * first.
     */
    @Test
    void value_hostileSum_withinBound() {
        double[] terms = {1, 1e-17, 1e-34, -1, -1e-17};

        assertWithinBound(sumOf(terms), 0, terms, new double[5]);
    }

    @Test
    void value_noTerms_zero() {
        assertThat(new CompensatedSums(1).value(0)).isEqualTo(0);
        assertThat(new CompensatedSums(1).get(0)).isEqualTo(DoubleDouble.ZERO);
        assertThat(new CompensatedSums(0)).isNotNull();
    }

    /** Of a longer array the terms from an index on are added, and the arrays stay what they were. */
    @Test
    void add_partOfArray_addsThose() {
        CompensatedSums sums = new CompensatedSums(2);
        double[] rows = {1, 2, 30, 40, 500, 600};
        double[] before = rows.clone();

        sums.add(rows, 2);
        sums.add(rows, 4);
        sums.add(new double[] {1, 2}, new double[] {0.25, 0.5});

        assertThat(sums.value(0)).isEqualTo(531.25);
        assertThat(sums.value(1)).isEqualTo(642.5);
        assertThat(rows).isEqualTo(before);
    }

    @Test
    void sum_partOfArray_asOneColumn() {
        double[] terms = {5, 1e16, 1, -1e16, 7};

        assertThat(CompensatedSums.sum(terms, 1, 4)).isEqualTo(1);
        assertThat(CompensatedSums.sum(terms, 0, 5)).isEqualTo(13);
        assertThat(CompensatedSums.sum(terms, 2, 2)).isEqualTo(0);
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

            assertThat(sumOf(terms).value(0)).as(Arrays.toString(terms)).isEqualTo(Double.valueOf(plain));
            assertThat(sumOf(terms).get(0)).as(Arrays.toString(terms)).isEqualTo(DoubleDouble.of(plain));
        }
    }

    @Test
    void columns_oneNotFinite_othersUntouched() {
        CompensatedSums sums = new CompensatedSums(3);
        sums.add(new double[] {1, Double.NaN, 1e16}, 0);
        sums.add(new double[] {2, 1, 1}, 0);
        sums.add(new double[] {4, 1, -1e16}, new double[] {0, Double.NaN, 0.5});

        assertThat(sums.value(0)).isEqualTo(7);
        assertThat(sums.value(1)).isNaN();
        assertThat(sums.value(2)).isEqualTo(1.5);
    }

    private static CompensatedSums sumOf(double... terms) {
        CompensatedSums sums = new CompensatedSums(1);
        for (int k = 0; k < terms.length; k++) {
            sums.add(terms, k);
        }
        return sums;
    }

    private static double[] column(double[][] rows, int j) {
        return Arrays.stream(rows).mapToDouble(row -> row[j]).toArray();
    }
}
