package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleSupplier;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

final class ProductsTest {
    private static final double NAN = Double.NaN;
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final double MAX = Double.MAX_VALUE;
    private static final double MIN = Double.MIN_VALUE;

    /** m, n, k: vectors, primes, each side of powers of two. */
    private static final int[][] LARGER_SHAPES = {
        {1, 1, 130},
        {1, 130, 1},
        {130, 1, 1},
        {6, 7, 8},
        {8, 9, 7},
        {11, 13, 17},
        {15, 16, 17},
        {17, 15, 16},
        {23, 29, 19},
        {31, 32, 33},
        {33, 31, 32},
        {63, 65, 64},
        {65, 64, 63},
        {2, 127, 129},
        {127, 3, 128},
        {101, 103, 107},
        {129, 128, 127},
        {5, 100, 65},
        {300, 40, 50}
    };

    /** m, n, k for the comparison with exact arithmetic, which is slow. */
    private static final int[][] EXACT_SHAPES = {{3, 2, 0}, {5, 4, 1}, {7, 11, 13}, {2, 3, 130}, {31, 37, 41}};

    /** The three products; each hands A (m×k) and B (k×n) on as it is wanted. */
    enum Product {
        GEMM,
        GEMM_TN,
        GEMM_NT;

        /** The product; the array for it has another content before, the operands have the same one afterwards. */
        double[] of(Operands x) {
            double[] a = this == GEMM_TN ? transposed(x.m, x.k, x.a) : x.a.clone();
            double[] b = this == GEMM_NT ? transposed(x.k, x.n, x.b) : x.b.clone();
            double[] aBefore = a.clone();
            double[] bBefore = b.clone();
            double[] c = new double[x.m * x.n];
            Arrays.fill(c, NAN);
            switch (this) {
                case GEMM -> Products.gemm(x.m, x.n, x.k, a, b, c);
                case GEMM_TN -> Products.gemmTN(x.m, x.n, x.k, a, b, c);
                case GEMM_NT -> Products.gemmNT(x.m, x.n, x.k, a, b, c);
            }
            assertThat(a).as("A after %s, %s", this, x).isEqualTo(aBefore);
            assertThat(b).as("B after %s, %s", this, x).isEqualTo(bBefore);
            return c;
        }
    }

    private static final class Operands {
        final int m;
        final int n;
        final int k;
        final double[] a;
        final double[] b;
        final String name;

        Operands(int m, int n, int k, double[] a, double[] b, String name) {
            this.m = m;
            this.n = n;
            this.k = k;
            this.a = a;
            this.b = b;
            this.name = name;
        }

        /** Entries drawn from the values, or uniform in [−1, 1) if there are none. */
        static Operands random(int[] shape, double... values) {
            int m = shape[0];
            int n = shape[1];
            int k = shape[2];
            long seed = (1000L * m + n) * 1000 + k;
            Random random = new Random(seed);
            DoubleSupplier entry = values.length == 0
                    ? () -> 2 * random.nextDouble() - 1
                    : () -> values[random.nextInt(values.length)];
            double[] a = DoubleStream.generate(entry).limit((long) m * k).toArray();
            double[] b = DoubleStream.generate(entry).limit((long) k * n).toArray();
            return new Operands(m, n, k, a, b, "seed " + seed);
        }

        double[] chains() {
            double[] c = new double[m * n];
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    double acc = 0.0;
                    for (int p = 0; p < k; p++) {
                        acc = Math.fma(a[i * k + p], b[p * n + j], acc);
                    }
                    c[i * n + j] = acc;
                }
            }
            return c;
        }

        @Override
        public String toString() {
            return "m %d, n %d, k %d, %s".formatted(m, n, k, name);
        }
    }

    private static Stream<int[]> shapes() {
        Stream<int[]> small = IntStream.range(0, 216).mapToObj(s -> new int[] {s / 36, s / 6 % 6, s % 6});
        return Stream.concat(small, Arrays.stream(LARGER_SHAPES));
    }

    private static double[] transposed(int rows, int columns, double[] a) {
        return IntStream.range(0, a.length)
                .mapToDouble(t -> a[t % rows * columns + t / rows])
                .toArray();
    }

    @ParameterizedTest
    @EnumSource
    void product_anyShape_isOneFmaChainPerEntry(Product product) {
        shapes().map(s -> Operands.random(s))
                .forEach(x -> assertThat(product.of(x)).as(x.toString()).isEqualTo(x.chains()));
    }

    @ParameterizedTest
    @EnumSource
    void product_signedZerosAndUnderflow_isOneFmaChainPerEntry(Product product) {
        shapes().map(s -> Operands.random(s, 0.0, -0.0, MIN, -MIN))
                .forEach(x -> assertThat(product.of(x)).as(x.toString()).isEqualTo(x.chains()));
    }

    @ParameterizedTest
    @EnumSource
    void product_oneNanAndOneInfinity_spoilTheirRowAndColumnOnly(Product product) {
        shapes().map(s -> Operands.random(s))
                .filter(x -> x.a.length > 0 && x.b.length > 0)
                .forEach(x -> {
                    x.a[x.a.length / 2] = NAN;
                    x.b[x.b.length / 2] = -INFINITY;
                    assertThat(product.of(x)).as(x.toString()).isEqualTo(x.chains());
                });
    }

    @ParameterizedTest
    @EnumSource
    void product_uniformEntries_withinHighamsBoundOfExactProduct(Product product) {
        for (int[] shape : EXACT_SHAPES) {
            Operands x = Operands.random(shape);
            double[] c = product.of(x);
            BigDecimal[] a = exact(x.a);
            BigDecimal[] b = exact(x.b);
            BigDecimal gamma = gamma(x.k);
            for (int at = 0; at < c.length; at++) {
                BigDecimal sum = BigDecimal.ZERO;
                BigDecimal magnitude = BigDecimal.ZERO;
                for (int p = 0; p < x.k; p++) {
                    BigDecimal term = a[at / x.n * x.k + p].multiply(b[p * x.n + at % x.n]);
                    sum = sum.add(term);
                    magnitude = magnitude.add(term.abs());
                }
                assertThat(new BigDecimal(c[at]).subtract(sum).abs())
                        .as("error of entry %d, %s", at, x)
                        .isLessThanOrEqualTo(gamma.multiply(magnitude));
            }
        }
    }

    private static BigDecimal[] exact(double[] values) {
        return Arrays.stream(values).mapToObj(BigDecimal::new).toArray(BigDecimal[]::new);
    }

    /** γₖ = k·u/(1 − k·u), u = 2⁻⁵³ (Higham, 2002, §3.5), rounded up. */
    private static BigDecimal gamma(int k) {
        BigDecimal ku = new BigDecimal(k * 0x1p-53);
        return ku.divide(BigDecimal.ONE.subtract(ku), new MathContext(30, RoundingMode.UP));
    }

    static Stream<Arguments> dots() {
        return Stream.of(
                dot("no terms", row(), row(), 0.0),
                dot("−0 · 1, from +0", row(-0.0), row(1), 0.0),
                dot("−tiny, underflows to −0", row(-MIN), row(MIN), -0.0),
                dot("−tiny + 0 · 1, no zero skipped", row(-MIN, 0.0), row(MIN, 1), 0.0),
                dot("−tiny + 1 · 0, no zero skipped", row(-MIN, 1), row(MIN, 0.0), 0.0),
                dot("0 · NaN", row(1, 0.0), row(1, NAN), NAN),
                dot("NaN · 0", row(NAN, 1), row(0.0, 1), NAN),
                dot("0 · ∞", row(0.0), row(INFINITY), NAN),
                dot("∞ · −1 + 1", row(INFINITY, 1), row(-1, 1), -INFINITY),
                dot("∞ − ∞", row(INFINITY, -INFINITY), row(1, 1), NAN),
                dot("overflow stays", row(MAX, MAX, -MAX), row(1, 1, 1), INFINITY),
                dot("p increases", row(1, 0x1p53, 1, -0x1p53), row(1, 1, 1, 1), 0.0),
                dot("p increases, reversed", row(-0x1p53, 1, 0x1p53, 1), row(1, 1, 1, 1), 2),
                dot("one rounding a term", row(-1, 1 + 0x1p-30), row(1, 1 - 0x1p-30), -0x1p-60),
                dot("product beyond range", row(-MAX, MAX), row(1, 2), MAX));
    }

    private static Arguments dot(String name, double[] a, double[] b, double expected) {
        return arguments(name, a, b, expected);
    }

    private static double[] row(double... values) {
        return values;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("dots")
    void product_rowsAndColumnsAllAlike_everyEntryIsTheDot(String name, double[] a, double[] b, double expected) {
        int m = 5;
        int n = 19; // wider than any SIMD lane count, with a rest
        int k = a.length;
        double[] rows = IntStream.range(0, m * k).mapToDouble(t -> a[t % k]).toArray();
        double[] columns = IntStream.range(0, k * n).mapToDouble(t -> b[t / n]).toArray();
        double[] entries = new double[m * n];
        Arrays.fill(entries, expected);
        for (Product product : Product.values()) {
            assertThat(product.of(new Operands(m, n, k, rows, columns, name)))
                    .as("%s, %s", product, name)
                    .isEqualTo(entries);
        }
    }

    @Test
    void transpose_anyShape_swapsRowsAndColumns() {
        shapes().forEach(shape -> {
            int m = shape[0];
            int n = shape[1];
            double[] a = IntStream.range(0, m * n).mapToDouble(t -> t + 1).toArray();
            double[] b = new double[m * n];
            Products.transpose(m, n, a, b);
            assertThat(b).as("m %d, n %d", m, n).isEqualTo(transposed(m, n, a));
            assertThat(a).as("A, m %d, n %d", m, n).isSorted();
        });
    }

    @Test
    void transpose_twoByThree_returnsHandComputedArray() {
        double[] b = new double[6];
        Products.transpose(2, 3, row(1, 2, -0.0, 4, NAN, 6), b);
        assertThat(b).isEqualTo(row(1, 4, 2, NAN, -0.0, 6));
    }
}
