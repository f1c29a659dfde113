package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.products.Spoiled;
import io.github.backnorm.internal.threads.Parallel;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;
import java.util.function.IntFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** All kernels of the execution run the same table, against three plain loops, which is against each other. */
@Tag("bits")
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
    private static final int[][] EXACT_SHAPES = {
        {3, 2, 0}, {5, 4, 1}, {7, 11, 13}, {2, 3, 130}, {31, 37, 41}, {1, 2, 2100}
    };

    /** Sizes on each side of the edges of the kernels' blocks, and of powers of two, up to 4 vectors of 8 lanes. */
    private static final int[] ROWS = {
        1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 39, 40, 41, 47, 48, 49, 1024, 1025, 1026, 1027, 2050, 2051, 2052, 2053
    };

    private static final int[] COLUMNS = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1024, 1025
    };

    private static final int[] INNER = {1, 2, 3, 4, 5, 15, 16, 17, 62, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2049
    };

    /** Several blocks along each pair of dimensions. */
    private static final int[][] BLOCKS = {{1027, 513, 65}, {13, 513, 1025}, {1027, 70, 1025}, {2053, 17, 64}};

    /** One of the products that kernels know. */
    private record Product(Kernels kernels, boolean single, boolean aTransposed, boolean bTransposed, boolean withRow) {
        static List<Product> all(Parallel parallel) {
            List<Boolean> either = List.of(false, true);
            return Execution.kernels(parallel).stream()
                    .flatMap(kernels -> either.stream()
                            .flatMap(single -> either.stream()
                                    .flatMap(a -> either.stream()
                                            .flatMap(b -> either.stream()
                                                    .map(row -> new Product(kernels, single, a, b, row))))))
                    .toList();
        }

        /** A as it is, or as the transpose of its transpose. */
        Operand a(Operands x) {
            return aTransposed
                    ? Operand.of(x.k, x.m, ProductsTest.transposed(x.m, x.k, x.a))
                            .transposed()
                    : Operand.of(x.m, x.k, x.a);
        }

        Operand b(Operands x) {
            return bTransposed
                    ? Operand.of(x.n, x.k, ProductsTest.transposed(x.k, x.n, x.b))
                            .transposed()
                    : Operand.of(x.k, x.n, x.b);
        }

        double[] row(Operands x) {
            return withRow ? x.row : Products.NO_ROW;
        }

        /** The product of A and B; where it is put together there was NaN before. */
        double[] of(Operands x) {
            double[] c = new double[x.m * x.n];
            Arrays.fill(c, NAN);
            int depth = Math.min(1024, x.k);
            int panels = Math.min(1 << 16, depth * (x.n + 32));
            int packed = depth * (Math.min(1024, x.m) + 64) + kernels.parallel().threads() * panels + x.n + 1024;
            Spoiled.scratch(packed);
            assertThat(multiply(a(x), b(x), row(x), length -> {
                        assertThat(length).isEqualTo(c.length);
                        return c;
                    }))
                    .isSameAs(c);
            return c;
        }

        double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
            return single
                    ? Products.multiplySingle(kernels, a, b, row, arrayFor)
                    : Products.multiply(kernels, a, b, row, arrayFor);
        }

        @Override
        public String toString() {
            return kernels
                    + (single ? ", single" : "")
                    + (aTransposed ? ", AᵀB" : ", AB")
                    + (bTransposed ? "ᵀ" : "")
                    + (withRow ? " + row" : "");
        }
    }

    /** Lets each product of these operands be what three loops give. */
    private static void assertChains(Operands x) {
        assertChains(x, Parallel.ofThisJvm());
    }

    private static void assertChains(Operands x, Parallel parallel) {
        double[] ofDoubles = x.chains();
        double[] ofFloats = x.floatChains();
        for (Product product : Product.all(parallel)) {
            double[] chains = product.single ? ofFloats : ofDoubles;
            double[] expected = product.withRow ? x.plusRow(chains) : chains;
            double[] a = x.a.clone();
            double[] b = x.b.clone();
            double[] row = x.row.clone();
            assertThat(product.of(x)).as("%s, %s", product, x).isEqualTo(expected);
            assertThat(List.of(x.a, x.b, x.row))
                    .as("operands after %s, %s", product, x)
                    .usingElementComparator(Arrays::compare)
                    .containsExactly(a, b, row);
        }
    }

    private static final class Operands {
        final int m;
        final int n;
        final int k;
        final double[] a;
        final double[] b;
        final double[] row;
        final String name;

        Operands(int m, int n, int k, double[] a, double[] b, double[] row, String name) {
            this.m = m;
            this.n = n;
            this.k = k;
            this.a = a;
            this.b = b;
            this.row = row;
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
            double[] row = DoubleStream.generate(entry).limit(n).toArray();
            return new Operands(m, n, k, a, b, row, "seed " + seed);
        }

        /** Every row of A is a, every column of B is b. */
        static Operands allAlike(int m, int n, double[] a, double[] b, String name) {
            int k = a.length;
            double[] rows = IntStream.range(0, m * k).mapToDouble(t -> a[t % k]).toArray();
            double[] columns =
                    IntStream.range(0, k * n).mapToDouble(t -> b[t / n]).toArray();
            return new Operands(m, n, k, rows, columns, new double[n], name);
        }

        double[] chains() {
            double[] c = new double[m * n];
            for (int i = 0; i < m; i++) {
                for (int p = 0; p < k; p++) {
                    for (int j = 0; j < n; j++) {
                        c[i * n + j] = Math.fma(a[i * k + p], b[p * n + j], c[i * n + j]);
                    }
                }
            }
            return c;
        }

        /** Chains of at most 1,024 terms in floats, added in double. */
        double[] floatChains() {
            double[] c = new double[m * n];
            for (int t = 0; t < c.length; t++) {
                for (int start = 0; start < k; start += 1024) {
                    float chain = 0;
                    for (int p = start; p < Math.min(k, start + 1024); p++) {
                        chain = Math.fma((float) a[t / n * k + p], (float) b[p * n + t % n], chain);
                    }
                    c[t] = start == 0 ? chain : c[t] + chain;
                }
            }
            return c;
        }

        double[] plusRow(double[] chains) {
            return IntStream.range(0, chains.length)
                    .mapToDouble(t -> chains[t] + row[t % n])
                    .toArray();
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

    /** In parts, so that a failure says where, and the first one comes soon. */
    static Stream<List<int[]>> anyShapes() {
        return Stream.of(
                        shapes(),
                        shapesOf(ROWS, new int[] {3, 33}, new int[] {5}),
                        shapesOf(new int[] {1, 5, 6, 7, 13}, COLUMNS, new int[] {7}),
                        shapesOf(new int[] {2, 6, 13, 16}, new int[] {5, 17, 32}, INNER),
                        Arrays.stream(BLOCKS),
                        randomShapes(30))
                .map(Stream::toList);
    }

    private static Stream<int[]> shapesOf(int[] rows, int[] columns, int[] inner) {
        return Arrays.stream(rows)
                .boxed()
                .flatMap(m -> Arrays.stream(columns)
                        .boxed()
                        .flatMap(n -> Arrays.stream(inner).mapToObj(k -> new int[] {m, n, k})));
    }

    private static Stream<int[]> randomShapes(int count) {
        Random random = new Random(count);
        return Stream.generate(() -> new int[] {random.nextInt(250), random.nextInt(250), random.nextInt(250)})
                .limit(count);
    }

    private static double[] transposed(int rows, int columns, double[] a) {
        return IntStream.range(0, a.length)
                .mapToDouble(t -> a[t % rows * columns + t / rows])
                .toArray();
    }

    @ParameterizedTest
    @MethodSource("anyShapes")
    void product_anyShape_isOneFmaChainPerEntry(List<int[]> shapes) {
        shapes.forEach(shape -> assertChains(Operands.random(shape)));
    }

    @Test
    void product_signedZerosAndUnderflow_isOneFmaChainPerEntry() {
        shapes().forEach(shape -> assertChains(Operands.random(shape, 0.0, -0.0, MIN, -MIN)));
    }

    @Test
    void product_limitsOfFloats_isOneChainPerEntry() {
        double tiny = Float.MIN_VALUE;
        double most = Float.MAX_VALUE;
        shapes().forEach(shape ->
                assertChains(Operands.random(shape, 1, -1, -0.0, tiny, -tiny, tiny / 2, Float.MIN_NORMAL, most, 1e39)));
    }

    @Test
    void product_nanAndInfinities_isOneFmaChainPerEntry() {
        shapes().forEach(
                        shape -> assertChains(Operands.random(shape, 1, -1, 0.0, -0.0, MAX, INFINITY, -INFINITY, NAN)));
    }

    @Test
    void product_oneNanAndOneInfinity_spoilTheirRowAndColumnOnly() {
        shapes().map(s -> Operands.random(s))
                .filter(x -> x.a.length > 0 && x.b.length > 0)
                .forEach(x -> {
                    x.a[x.a.length / 2] = NAN;
                    x.b[x.b.length / 2] = -INFINITY;
                    assertChains(x);
                });
    }

    static Stream<Arguments> threadsAndShapes() {
        return IntStream.of(1, 2, 3, 4, 7)
                .boxed()
                .flatMap(threads -> Stream.of(
                                Stream.concat(Arrays.stream(LARGER_SHAPES), randomShapes(10)), Arrays.stream(BLOCKS))
                        .map(shapes -> arguments(threads, shapes.toList())));
    }

    @ParameterizedTest
    @MethodSource("threadsAndShapes")
    void product_anyNumberOfThreads_isOneFmaChainPerEntry(int threads, List<int[]> shapes) {
        WatchedThreads parallel = new WatchedThreads(threads);
        shapes.forEach(shape -> assertChains(Operands.random(shape), parallel));
        assertThat(parallel.haveHelped())
                .as("%d threads: others than this one have worked", threads)
                .isEqualTo(threads > 1);
    }

    /** The arrays that they pack into are long enough. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void product_nothingToWorkInFromBefore_isOneFmaChainPerEntry(int threads) {
        for (int[] shape : LARGER_SHAPES) {
            Operands x = Operands.random(shape);
            double[] ofDoubles = x.chains();
            double[] ofFloats = x.floatChains();
            for (boolean single : new boolean[] {false, true}) {
                Spoiled.dropScratch(1 << 21);
                for (Product product : Product.all(new Parallel(threads, 0))) {
                    if (product.single == single && !product.withRow) {
                        assertThat(product.multiply(product.a(x), product.b(x), product.row(x), double[]::new))
                                .as("%s, %s", product, x)
                                .isEqualTo(single ? ofFloats : ofDoubles);
                    }
                }
            }
        }
    }

    /** The vector kernels, once compiled, make no vectors on the heap: by that it shows that C2 has compiled them. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void product_onceCompiled_keepsItsBitsAndAllocatesNextToNothing(boolean parallel) {
        Operands x = Operands.random(new int[] {25, 67, 70});
        for (Product product : Product.all(new Parallel(parallel ? 3 : 1, 0))) {
            Operand a = product.a(x);
            Operand b = product.b(x);
            double[] c = new double[x.m * x.n];
            double[] row = product.row(x);
            Runnable run = () -> product.multiply(a, b, row, length -> c);
            Consumer<String> check =
                    when -> assertThat(c).as("%s, %s", product, when).isEqualTo(product.of(x));
            run.run();
            check.accept("cold");
            int tasks = parallel ? 5 : 1;
            // An edge tile of 6 rows by at most 32 columns, and what one product keeps itself; scalar: four rows of C
            // and a block of B, of whole cache lines, with two references to each row.
            long ofTask = product.kernels.lanes() > 1 ? 6 * 32 * 8L : (4 + 64) * (64L * ((x.n + 1) / 8 + 1) + 8);
            long most = 512 + tasks * ofTask;
            assertThat(Allocation.ofCompiled(run, most))
                    .as("%s: bytes", product)
                    .isLessThanOrEqualTo(most);
            check.accept("compiled");
        }
    }

    @Test
    void product_uniformEntries_withinHighamsBoundOfExactProduct() {
        for (int[] shape : EXACT_SHAPES) {
            Operands x = Operands.random(shape);
            assertWithinHighamsBound(x, Products::multiply, gamma(x.k, 0x1p-53));
        }
    }

    /** Two roundings of operands, and one for the additions in double. */
    @Test
    void productInSinglePrecision_uniformEntries_withinBoundOfExactProduct() {
        for (int[] shape : EXACT_SHAPES) {
            assertWithinHighamsBound(
                    Operands.random(shape), Products::multiplySingle, gamma(Math.min(shape[2], 1024) + 3, 0x1p-24));
        }
    }

    private interface Multiplication {
        double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor);
    }

    private static void assertWithinHighamsBound(Operands x, Multiplication product, BigDecimal gamma) {
        double[] c =
                product.multiply(Operand.of(x.m, x.k, x.a), Operand.of(x.k, x.n, x.b), Products.NO_ROW, double[]::new);
        BigDecimal[] a = exact(x.a);
        BigDecimal[] b = exact(x.b);
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

    private static BigDecimal[] exact(double[] values) {
        return Arrays.stream(values).mapToObj(BigDecimal::new).toArray(BigDecimal[]::new);
    }

    /** γₖ = k·u/(1 − k·u) (Higham, 2002, §3.5), rounded up. */
    private static BigDecimal gamma(int k, double u) {
        BigDecimal ku = new BigDecimal(k * u);
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
        Operands x = Operands.allAlike(m, n, a, b, name);
        double[] entries = new double[m * n];
        Arrays.fill(entries, expected);
        for (Product product : Product.all(Parallel.ofThisJvm())) {
            if (!product.withRow && !product.single) {
                assertThat(product.of(x)).as("%s, %s", product, name).isEqualTo(entries);
            }
        }
    }

    /** As {@link #dots}, in single precision. */
    static Stream<Arguments> singleDots() {
        double[] long1 = ones(1025);
        long1[0] = 0x1p24;
        return Stream.of(
                dot("no terms", row(), row(), 0.0),
                dot("−tiny, underflows to −0", row(-Float.MIN_VALUE), row(Float.MIN_VALUE), -0.0),
                dot("operands are rounded", row(1 + 0x1p-30, 1 + 0x1p-24), row(1, 1), 2),
                dot("one rounding a term", row(-1, 1 + 0x1p-20), row(1, 1 - 0x1p-20), -0x1p-40),
                dot("p increases", row(1, 0x1p24, 1, -0x1p24), row(1, 1, 1, 1), 0.0),
                dot("overflows as a float", row(1e39), row(1), INFINITY),
                dot("overflow of a sum stays", row(3e38, 3e38, -3e38), row(1, 1, 1), INFINITY),
                dot("0 · an overflow", row(1e39), row(0.0), NAN),
                dot("1,024 terms are one chain, the rest is added in double", long1, ones(1025), 0x1p24 + 1));
    }

    private static double[] ones(int length) {
        return DoubleStream.generate(() -> 1).limit(length).toArray();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("singleDots")
    void productInSinglePrecision_rowsAndColumnsAllAlike_everyEntryIsTheDot(
            String name, double[] a, double[] b, double expected) {
        int m = 5;
        int n = 19; // wider than any SIMD lane count, with a rest
        Operands x = Operands.allAlike(m, n, a, b, name);
        double[] entries = new double[m * n];
        Arrays.fill(entries, expected);
        for (Product product : Product.all(Parallel.ofThisJvm())) {
            if (!product.withRow && product.single) {
                assertThat(product.of(x)).as("%s, %s", product, name).isEqualTo(entries);
            }
        }
    }

    /** With few rows, B is rounded once for many products. */
    @Test
    void productOfFewRows_anyShape_isOneChainOfFloatsPerEntry() {
        Stream.of(shapes(), Stream.of(new int[] {3, 40, 1023}, new int[] {2, 7, 2050}, new int[] {4, 513, 1025}))
                .flatMap(shapes -> shapes)
                .map(shape -> Operands.random(shape))
                .forEach(x -> {
                    double[] chains = x.floatChains();
                    Operand a = Operand.of(x.m, x.k, x.a);
                    FloatRows b = new FloatRows(Operand.of(x.k, x.n, x.b));
                    for (Kernels kernels : Execution.kernels()) {
                        assertThat(kernels.multiplySingle(a, b, Products.NO_ROW))
                                .as("%s, %s", kernels, x)
                                .isEqualTo(chains);
                        assertThat(kernels.multiplySingle(a, b, x.row))
                                .as("%s, %s + row", kernels, x)
                                .isEqualTo(x.plusRow(chains));
                    }
                });
    }

    @Test
    void productOfFewRows_onceCompiled_keepsItsBitsAndAllocatesItsArraysOnly() {
        Operands x = Operands.random(new int[] {3, 67, 70});
        double[] chains = x.floatChains();
        Operand a = Operand.of(x.m, x.k, x.a);
        FloatRows b = new FloatRows(Operand.of(x.k, x.n, x.b));
        for (Kernels kernels : Execution.kernels()) {
            long most = 512 + Double.BYTES * (long) x.m * x.n + Float.BYTES * (x.k + x.n + 28L);
            assertThat(kernels.multiplySingle(a, b, Products.NO_ROW))
                    .as("%s, cold", kernels)
                    .isEqualTo(chains);
            assertThat(Allocation.ofCompiled(() -> kernels.multiplySingle(a, b, Products.NO_ROW), most))
                    .as("%s: bytes", kernels)
                    .isLessThanOrEqualTo(most);
            assertThat(kernels.multiplySingle(a, b, Products.NO_ROW))
                    .as("%s, compiled", kernels)
                    .isEqualTo(chains);
        }
    }

    @Test
    void multiply_operandsTransposedOrNot_handComputedProduct() {
        Operand wide = Operand.of(2, 3, row(1, 2, 3, 4, 5, 6));
        Operand tall = Operand.of(3, 2, row(1, 0, 0, 1, 1, 1));
        assertThat(product(wide, tall, Products.NO_ROW)).isEqualTo(row(4, 5, 10, 11));
        assertThat(product(wide, tall, row(10, 20))).isEqualTo(row(14, 25, 20, 31));
        assertThat(product(tall.transposed(), wide.transposed(), Products.NO_ROW))
                .isEqualTo(row(4, 10, 5, 11));
        assertThat(product(wide.transposed(), tall.transposed(), Products.NO_ROW))
                .isEqualTo(row(1, 4, 5, 2, 5, 7, 3, 6, 9));
    }

    private static double[] product(Operand a, Operand b, double[] row) {
        return Products.multiply(a, b, row, double[]::new);
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
