package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.products.Operand;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.BinaryOperator;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

final class MatrixTest {
    private static final double NAN = Double.NaN;
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final int SIDES = 6; // shapes by enumeration: 0..5
    private static final String MOST = "expected at most 2147482624 entries";
    private static final Matrix A = Matrix.of(2, 3, 1, 2, 3, 4, 5, 6);
    private static final Matrix B = Matrix.of(3, 2, 7, 8, 9, 10, 11, 12);
    private static final Matrix C = Matrix.of(2, 3, 10, 20, 30, 40, 50, 60);

    @Test
    void of_rowMajorValues_readBackByRowAndColumn() {
        assertThat(A.rows()).isEqualTo(2);
        assertThat(A.columns()).isEqualTo(3);
        assertThat(A.toArray()).containsExactly(1, 2, 3, 4, 5, 6);
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 3; j++) {
                assertThat(A.get(i, j)).isEqualTo(1 + 3 * i + j);
            }
        }
    }

    static Stream<Arguments> handComputed() {
        return Stream.of(
                arguments("ofRows", Matrix.ofRows(new double[] {1, 2, 3}, new double[] {4, 5, 6}), A),
                arguments("ofRows, none", Matrix.ofRows(), Matrix.of(0, 0)),
                arguments("ofRows, empty", Matrix.ofRows(new double[0], new double[0]), Matrix.of(2, 0)),
                arguments("ofRow", Matrix.ofRow(1, -2), Matrix.of(1, 2, 1, -2)),
                arguments("ofRow, empty", Matrix.ofRow(), Matrix.of(1, 0)),
                arguments("zeros", Matrix.zeros(2, 1), Matrix.of(2, 1, 0, 0)),
                arguments("filled", Matrix.filled(1, 2, -0.0), Matrix.of(1, 2, -0.0, -0.0)),
                arguments("filled, NaN", Matrix.filled(1, 2, NAN), Matrix.of(1, 2, NAN, NAN)),
                arguments("generate", Matrix.generate(2, 3, (i, j) -> 1 + 3 * i + j), A),
                arguments("row", A.row(1), Matrix.ofRow(4, 5, 6)),
                arguments("selectRows", B.selectRows(2, 0, 2), Matrix.of(3, 2, 11, 12, 7, 8, 11, 12)),
                arguments("selectRows, none", A.selectRows(), Matrix.of(0, 3)),
                arguments("times", A.times(B), Matrix.of(2, 2, 58, 64, 139, 154)),
                arguments("times, factor", A.times(-2), Matrix.of(2, 3, -2, -4, -6, -8, -10, -12)),
                arguments(
                        "product, left transposed",
                        product(A.operand().transposed(), C.operand()),
                        Matrix.of(3, 3, 170, 220, 270, 220, 290, 360, 270, 360, 450)),
                arguments(
                        "product, right transposed",
                        product(A.operand(), C.operand().transposed()),
                        Matrix.of(2, 2, 140, 320, 320, 770)),
                arguments("transpose", A.transpose(), Matrix.of(3, 2, 1, 4, 2, 5, 3, 6)),
                arguments("plus", A.plus(C), Matrix.of(2, 3, 11, 22, 33, 44, 55, 66)),
                arguments("minus", A.minus(C), Matrix.of(2, 3, -9, -18, -27, -36, -45, -54)),
                arguments("hadamard", A.hadamard(C), Matrix.of(2, 3, 10, 40, 90, 160, 250, 360)),
                arguments("plusScaled", A.plusScaled(-0.5, C), Matrix.of(2, 3, -4, -8, -12, -16, -20, -24)),
                arguments("plusRow", A.plusRow(Matrix.ofRow(10, 20, 30)), Matrix.of(2, 3, 11, 22, 33, 14, 25, 36)),
                arguments("columnSums", A.columnSums(), Matrix.ofRow(5, 7, 9)),
                arguments("columnSums, no rows", Matrix.zeros(0, 2).columnSums(), Matrix.ofRow(0, 0)),
                arguments("columnMeans", A.columnMeans(), Matrix.ofRow(2.5, 3.5, 4.5)),
                arguments("columnMeans, no columns", Matrix.zeros(2, 0).columnMeans(), Matrix.of(1, 0)),
                arguments("rowSums", A.rowSums(), Matrix.of(2, 1, 6, 15)),
                arguments("rowSums, no columns", Matrix.zeros(2, 0).rowSums(), Matrix.of(2, 1, 0, 0)),
                arguments("sum", Matrix.ofRow(A.sum(), Matrix.zeros(0, 3).sum()), Matrix.ofRow(21, 0)),
                arguments("map", A.map(v -> v * v), Matrix.of(2, 3, 1, 4, 9, 16, 25, 36)),
                arguments("combine", A.combine(C, (v, w) -> w - v), Matrix.of(2, 3, 9, 18, 27, 36, 45, 54)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("handComputed")
    void factoryOrOperation_smallCase_returnsHandComputedMatrix(String name, Matrix actual, Matrix expected) {
        assertThat(actual).as(name).isEqualTo(expected);
    }

    @Test
    void requireSize_longestArray_accepted() {
        assertThat(Checks.requireSize(1, 2147482624, "Matrix.zeros")).isEqualTo(2147482624);
    }

    @Test
    void zeros_hugeByZero_isAShapeLikeAnyOther() {
        Matrix x = Matrix.zeros(Integer.MAX_VALUE, 0);
        assertThat(x).hasToString("2147483647x0 [[], [], [], [], [], [], …]");
        assertThat(x.rows()).isEqualTo(Integer.MAX_VALUE);
        assertThat(x.columns()).isZero();
    }

    @Test
    void factories_givenArrayChanged_matrixUnchanged() {
        double[] values = {1, 2};
        List<Matrix> made = List.of(Matrix.of(2, 1, values), Matrix.ofRow(values), Matrix.ofRows(values));
        Arrays.fill(values, 7);
        assertThat(made).allSatisfy(matrix -> assertThat(matrix.toArray()).containsExactly(1, 2));
    }

    @Test
    void toArray_receivedArrayChanged_matrixUnchanged() {
        Matrix x = Matrix.ofRow(1, 2);
        Arrays.fill(x.toArray(), 7);
        assertThat(x.toArray()).containsExactly(1, 2);
    }

    @Test
    void wrap_array_notCopied() {
        double[] data = {1, 2};
        assertThat(Matrix.wrap(2, 1, data).data()).isSameAs(data);
    }

    @Test
    void generateMapCombine_calls_runRowByRow() {
        List<Double> calls = new ArrayList<>();
        DoubleUnaryOperator recorder = v -> {
            calls.add(v);
            return v;
        };
        Matrix x = Matrix.generate(2, 2, (i, j) -> recorder.applyAsDouble(10 * i + j));
        x.map(recorder);
        x.combine(x, (v, w) -> recorder.applyAsDouble(v));
        assertThat(calls).containsExactly(0.0, 1.0, 10.0, 11.0, 0.0, 1.0, 10.0, 11.0, 0.0, 1.0, 10.0, 11.0);
    }

    // Every shape

    /** What works entry by entry on matrices of one shape, and what it makes of a pair of entries. */
    static Stream<Arguments> entrywiseOperations() {
        return Stream.of(
                entrywise("plus", Matrix::plus, (v, w) -> v + w),
                entrywise("minus", Matrix::minus, (v, w) -> v - w),
                entrywise("hadamard", Matrix::hadamard, (v, w) -> v * w),
                entrywise("times, factor", (x, y) -> x.times(-0.1), (v, w) -> -0.1 * v),
                entrywise("plusScaled", (x, y) -> x.plusScaled(-0.1, y), (v, w) -> Math.fma(-0.1, w, v)),
                entrywise("map", (x, y) -> x.map(Math::sqrt), (v, w) -> Math.sqrt(v)),
                entrywise("combine", (x, y) -> x.combine(y, (v, w) -> v / w), (v, w) -> v / w));
    }

    private static Arguments entrywise(String name, BinaryOperator<Matrix> operation, DoubleBinaryOperator entry) {
        return arguments(name, operation, entry);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("entrywiseOperations")
    void entrywise_anyShape_matchesItsDefinition(
            String name, BinaryOperator<Matrix> operation, DoubleBinaryOperator entry) {
        for (int seed = 0; seed < SIDES * SIDES; seed++) {
            Matrix x = Matrices.uniform(seed / SIDES, seed % SIDES, seed);
            Matrix y = Matrices.uniform(seed / SIDES, seed % SIDES, ~seed);
            assertThat(operation.apply(x, y))
                    .as("%s, seeds %d and %d", name, seed, ~seed)
                    .isEqualTo(entries(x, y, entry));
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("entrywiseOperations")
    void entrywise_specialValues_passThroughIeeeArithmetic(
            String name, BinaryOperator<Matrix> operation, DoubleBinaryOperator entry) {
        double[] values = {0.0, -0.0, 1, -1, NAN, INFINITY, -INFINITY, Double.MIN_VALUE, Double.MAX_VALUE};
        Matrix x = Matrix.generate(values.length, values.length, (i, j) -> values[i]);
        Matrix y = Matrix.generate(values.length, values.length, (i, j) -> values[j]);
        assertThat(operation.apply(x, y)).as(name).isEqualTo(entries(x, y, entry));
    }

    private static Matrix entries(Matrix x, Matrix y, DoubleBinaryOperator entry) {
        return Matrix.generate(x.rows(), x.columns(), (i, j) -> entry.applyAsDouble(x.get(i, j), y.get(i, j)));
    }

    static Stream<Arguments> anyShape() {
        return IntStream.range(0, SIDES * SIDES)
                .mapToObj(seed -> arguments(Matrices.uniform(seed / SIDES, seed % SIDES, seed), seed));
    }

    @ParameterizedTest
    @MethodSource("anyShape")
    void rowsAndTranspose_anyShape_matchTheirDefinition(Matrix x, int seed) {
        int[] reversedTwice =
                IntStream.range(0, 2 * x.rows()).map(i -> x.rows() - 1 - i / 2).toArray();
        assertThat(x.selectRows(reversedTwice))
                .as("selectRows, seed %d", seed)
                .isEqualTo(Matrix.generate(2 * x.rows(), x.columns(), (i, j) -> x.get(reversedTwice[i], j)));
        for (int row = 0; row < x.rows(); row++) {
            assertThat(x.row(row)).as("row %d, seed %d", row, seed).isEqualTo(x.selectRows(row));
        }
        Matrix bias = Matrices.uniform(1, x.columns(), ~seed);
        assertThat(x.plusRow(bias))
                .as("plusRow, seeds %d and %d", seed, ~seed)
                .isEqualTo(Matrix.generate(x.rows(), x.columns(), (i, j) -> x.get(i, j) + bias.get(0, j)));
        assertThat(x.transpose())
                .as("transpose, seed %d", seed)
                .isEqualTo(Matrix.generate(x.columns(), x.rows(), (i, j) -> x.get(j, i)));
    }

    @ParameterizedTest
    @MethodSource("anyShape")
    void sums_ofShortNumbersInAnyShape_areExact(Matrix uniform, int seed) {
        Matrix x = uniform.map(value -> Math.rint(value * 0x1p20)); // so short that the loops below do not round
        double[] columnSums = new double[x.columns()];
        double[] rowSums = new double[x.rows()];
        double sum = 0;
        for (int i = 0; i < x.rows(); i++) {
            for (int j = 0; j < x.columns(); j++) {
                columnSums[j] += x.get(i, j);
                rowSums[i] += x.get(i, j);
                sum += x.get(i, j);
            }
        }
        assertThat(x.columnSums()).as("columnSums, seed %d", seed).isEqualTo(Matrix.ofRow(columnSums));
        assertThat(x.rowSums()).as("rowSums, seed %d", seed).isEqualTo(Matrix.of(x.rows(), 1, rowSums));
        assertThat(x.sum()).as("sum, seed %d", seed).isEqualTo(sum);
        if (x.rows() > 0) {
            assertThat(x.columnMeans())
                    .as("columnMeans, seed %d", seed)
                    .isEqualTo(Matrix.ofRow(columnSums).map(s -> s / x.rows()));
        }
    }

    @Test
    void times_anyShape_isOneFmaChainPerEntry() {
        forAnyFactors((a, b, seeds) -> assertThat(a.times(b))
                .as(seeds)
                .isEqualTo(Matrix.generate(a.rows(), b.columns(), (i, j) -> {
                    double acc = 0;
                    for (int p = 0; p < a.columns(); p++) {
                        acc = Math.fma(a.get(i, p), b.get(p, j), acc);
                    }
                    return acc;
                })));
    }

    private static Matrix product(Operand left, Operand right) {
        return Matrix.product(Precision.DOUBLE, left, right, Matrix.NO_ROW, double[]::new);
    }

    @Test
    void times_transposedFactors_isTheTransposedProductToEqualBits() {
        forAnyFactors((a, b, seeds) -> {
            Matrix product = a.times(b);
            assertThat(b.transpose().times(a.transpose())).as(seeds).isEqualTo(product.transpose());
            assertThat(product(a.transpose().operand().transposed(), b.operand()))
                    .as(seeds)
                    .isEqualTo(product);
            assertThat(product(a.operand(), b.transpose().operand().transposed()))
                    .as(seeds)
                    .isEqualTo(product);
        });
    }

    private interface FactorsTest {
        void run(Matrix a, Matrix b, String seeds);
    }

    private static void forAnyFactors(FactorsTest test) {
        for (int m = 0; m < SIDES; m++) {
            for (int n = 0; n < SIDES; n++) {
                for (int k = 0; k < SIDES; k++) {
                    int seed = 100 * m + 10 * n + k;
                    Matrix a = Matrices.uniform(m, k, seed);
                    Matrix b = Matrices.uniform(k, n, ~seed);
                    test.run(a, b, "%dx%d · %dx%d, seeds %d and %d".formatted(m, k, k, n, seed, ~seed));
                }
            }
        }
    }

    // Rounding, NaN, infinities

    @Test
    void times_zeroByNanOrInfinity_isNan() {
        Matrix zeros = Matrix.zeros(1, 2);
        assertThat(zeros.times(Matrix.of(2, 3, NAN, 1, 1, 1, INFINITY, 1))).isEqualTo(Matrix.ofRow(NAN, NAN, 0));
    }

    @Test
    void plusScaled_productNotADouble_roundsOnce() {
        double factor = 1 + 0x1p-30;
        double entry = 1 - 0x1p-30;
        assertThat(factor * entry - 1).as("rounded twice").isZero();
        assertThat(Matrix.ofRow(-1).plusScaled(factor, Matrix.ofRow(entry)).toArray())
                .containsExactly(-0x1p-60);
    }

    /** The errors of the sum cancel before the 1 comes, or swallow it: the two rows differ in their order alone. */
    static Stream<Arguments> orderMatters() {
        return Stream.of(
                arguments(Matrix.ofRow(0, 0x1p60, 0x1p120, -0x1p60, -0x1p120, 1), 1),
                arguments(Matrix.ofRow(1, -0x1p120, -0x1p60, 0x1p120, 0x1p60, 0), 0));
    }

    @ParameterizedTest
    @MethodSource("orderMatters")
    void sums_orderMatters_runFromTheFirstEntry(Matrix row, double sum) {
        assertThat(row.rowSums()).isEqualTo(Matrix.ofRow(sum));
        assertThat(row.transpose().columnSums()).isEqualTo(Matrix.ofRow(sum));
        assertThat(row.transpose().columnMeans()).isEqualTo(Matrix.ofRow(sum / 6));
        assertThat(Matrix.of(2, 3, row.toArray()).sum()).isEqualTo(sum);
    }

    @Test
    void sums_thatCancel_keepWhatIsLeft() {
        Matrix row = Matrix.ofRow(1, 0x1p53, 1, -0x1p53); // 1 or 0 in plain additions
        assertThat(row.rowSums()).isEqualTo(Matrix.ofRow(2));
        assertThat(row.transpose().columnMeans()).isEqualTo(Matrix.ofRow(0.5));
    }

    @Test
    void sums_nanAndInfinities_passThrough() {
        Matrix x = Matrix.of(2, 3, NAN, INFINITY, INFINITY, 1, -INFINITY, 1);
        assertThat(x.columnSums()).isEqualTo(Matrix.ofRow(NAN, NAN, INFINITY));
        assertThat(x.columnMeans()).isEqualTo(Matrix.ofRow(NAN, NAN, INFINITY));
        assertThat(x.rowSums()).isEqualTo(Matrix.of(2, 1, NAN, -INFINITY));
        assertThat(x.sum()).isNaN();
    }

    static Stream<Arguments> largestEntries() {
        return Stream.of(
                arguments(Matrix.of(3, 3, 1, 3, 2, 9, 8, 7, 4, 5, 6), new int[] {1, 0, 2}),
                arguments(Matrix.of(2, 3, 1, 2, 2, 0, 0, 0), new int[] {1, 0}),
                arguments(Matrix.ofRow(-0.0, 0.0), new int[] {0}),
                arguments(Matrix.of(2, 2, -INFINITY, -INFINITY, -INFINITY, -1), new int[] {0, 1}),
                arguments(Matrix.of(2, 3, INFINITY, NAN, NAN, 1, 2, NAN), new int[] {1, 2}),
                arguments(Matrix.of(2, 2, NAN, INFINITY, 1, 2), new int[] {0, 1}),
                arguments(Matrix.of(2, 3, NAN, NAN, NAN, 0, 0, 1), new int[] {0, 2}),
                arguments(Matrix.zeros(2, 1), new int[] {0, 0}),
                arguments(Matrix.zeros(0, 3), new int[0]),
                arguments(Matrix.zeros(0, 0), new int[0]));
    }

    @ParameterizedTest
    @MethodSource("largestEntries")
    void argMaxOfRows_tiesAndNan_returnsFirstOfTheLargest(Matrix x, int[] expected) {
        assertThat(x.argMaxOfRows()).as(x.toString()).isEqualTo(expected);
    }

    // A value

    static Stream<Arguments> otherOperations() {
        return Stream.of(
                operation("times", Matrix::times),
                operation("product", (x, y) -> product(x.operand().transposed(), y.operand())),
                operation("plusRow", (x, y) -> x.plusRow(y.row(0))),
                operation("transpose", (x, y) -> x.transpose()),
                operation("row", (x, y) -> x.row(2)),
                operation("selectRows", (x, y) -> x.selectRows(2, 0)),
                operation("columnSums", (x, y) -> x.columnSums()),
                operation("columnMeans", (x, y) -> x.columnMeans()),
                operation("rowSums", (x, y) -> x.rowSums()),
                operation("sum", (x, y) -> x.sum()),
                operation("argMaxOfRows", (x, y) -> x.argMaxOfRows()),
                operation("equals", Matrix::equals),
                operation("hashCode", (x, y) -> x.hashCode()),
                operation("toString", (x, y) -> x.toString()));
    }

    private static Arguments operation(String name, BiFunction<Matrix, Matrix, Object> operation) {
        return arguments(name, operation);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource({"entrywiseOperations", "otherOperations"})
    void operation_afterwards_operandsUnchanged(String name, BiFunction<Matrix, Matrix, ?> operation) {
        Matrix x = Matrices.uniform(3, 3, 1);
        Matrix y = Matrices.uniform(3, 3, 2);
        assertThat(operation.apply(x, y))
                .as("%s, seeds 1 and 2", name)
                .isNotSameAs(x)
                .isNotSameAs(y);
        assertThat(x).as("%s, seed 1", name).isEqualTo(Matrices.uniform(3, 3, 1));
        assertThat(y).as("%s, seed 2", name).isEqualTo(Matrices.uniform(3, 3, 2));
    }

    @Test
    void equals_sameShapeAndBits_equalWithEqualHashes() {
        double otherNan = Double.longBitsToDouble(0x7ff8_0000_0000_0001L);
        Matrix x = Matrix.of(2, 2, 1, -0.0, NAN, INFINITY);
        assertThat(x).isEqualTo(Matrix.of(2, 2, 1, -0.0, otherNan, INFINITY));
        assertThat(x).hasSameHashCodeAs(Matrix.of(2, 2, 1, -0.0, otherNan, INFINITY));
        assertThat(Matrix.zeros(0, 3)).isEqualTo(Matrix.of(0, 3)).hasSameHashCodeAs(Matrix.of(0, 3));
    }

    static Stream<Arguments> unequal() {
        return Stream.of(
                arguments(Matrix.ofRow(0.0), Matrix.ofRow(-0.0)),
                arguments(Matrix.ofRow(1), Matrix.ofRow(Math.nextUp(1.0))),
                arguments(Matrix.ofRow(1, 2), Matrix.ofRow(2, 1)),
                arguments(Matrix.ofRow(NAN), Matrix.ofRow(INFINITY)),
                arguments(Matrix.ofRow(1, 2), Matrix.ofRow(1, 2).transpose()),
                arguments(Matrix.zeros(0, 3), Matrix.zeros(0, 4)),
                arguments(Matrix.zeros(3, 0), Matrix.zeros(4, 0)),
                arguments(Matrix.zeros(0, 3), Matrix.zeros(3, 0)));
    }

    @ParameterizedTest
    @MethodSource("unequal")
    void equals_otherShapeOrBits_unequalWithOtherHashes(Matrix x, Matrix y) {
        assertThat(x).isNotEqualTo(y).doesNotHaveSameHashCodeAs(y);
        assertThat(y).isNotEqualTo(x);
    }

    @Test
    void equals_nullOrOtherType_unequal() {
        assertThat(A.equals(null)).isFalse();
        assertThat(A.equals((Object) "2x3")).isFalse();
    }

    static Stream<Arguments> texts() {
        return Stream.of(
                arguments(A, "2x3 [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]"),
                arguments(Matrix.ofRow(NAN, -INFINITY, -0.0), "1x3 [[NaN, -Infinity, -0.0]]"),
                arguments(Matrix.zeros(0, 3), "0x3 []"),
                arguments(Matrix.zeros(2, 0), "2x0 [[], []]"),
                arguments(Matrix.ofRow(1, 2, 3, 4, 5, 6), "1x6 [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]"),
                arguments(Matrix.ofRow(1, 2, 3, 4, 5, 6, 7), "1x7 [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, …]]"),
                arguments(Matrix.of(6, 1, 1, 2, 3, 4, 5, 6), "6x1 [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]"),
                arguments(
                        Matrix.generate(7, 7, (i, j) -> i == j ? 1 : 0),
                        "7x7 [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, …], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, …],"
                                + " [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, …], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, …],"
                                + " [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, …], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, …], …]"));
    }

    @ParameterizedTest
    @MethodSource("texts")
    void toString_smallOrLarge_showsShapeAndFirstEntries(Matrix x, String expected) {
        assertThat(x).hasToString(expected);
    }

    // Refusals

    static Stream<Arguments> refusedSizes() {
        return Stream.<Refused<Integer, Integer>>of(
                        new Refused<>("of", (m, n) -> Matrix.of(m, n)),
                        new Refused<>("zeros", Matrix::zeros),
                        new Refused<>("filled", (m, n) -> Matrix.filled(m, n, 1)),
                        new Refused<>("generate", (m, n) -> Matrix.generate(m, n, (i, j) -> 1)))
                .flatMap(factory -> Stream.of(
                        factory.on(-1, 2, "rows is -1, expected at least 0"),
                        factory.on(2, -1, "columns is -1, expected at least 0"),
                        factory.on(65536, 65536, "size is 65536x65536 = 4294967296, " + MOST),
                        factory.on(1, 2147483640, "size is 1x2147483640 = 2147483640, " + MOST)));
    }

    static Stream<Arguments> refusedShapes() {
        return Stream.<Refused<Matrix, Matrix>>of(
                        new Refused<>("plus", Matrix::plus),
                        new Refused<>("minus", Matrix::minus),
                        new Refused<>("hadamard", Matrix::hadamard),
                        new Refused<>("plusScaled", (x, y) -> x.plusScaled(2, y)),
                        new Refused<>("combine", (x, y) -> x.combine(y, Double::sum)))
                .flatMap(operation -> Stream.of(
                        operation.on(A, Matrix.zeros(3, 3), "other is 3x3, expected 2x3"),
                        operation.on(A, Matrix.zeros(2, 2), "other is 2x2, expected 2x3"),
                        operation.on(A, null, "other is null, expected a value")));
    }

    static Stream<Arguments> refusedArguments() {
        double[] long65536 = new double[65536];
        double[][] rows65536 = new double[65536][];
        Arrays.fill(rows65536, long65536);
        Matrix column0 = Matrix.zeros(65536, 0);
        Matrix row0 = Matrix.zeros(0, 65536);
        String tooLarge = "size is 65536x65536 = 4294967296, " + MOST;
        return Stream.of(
                refused("of", "values has length 5, expected 2x3 = 6", () -> Matrix.of(2, 3, 1, 2, 3, 4, 5)),
                refused("of", "values has length 1, expected 0x3 = 0", () -> Matrix.of(0, 3, 1)),
                refused("of", "values is null, expected a value", () -> Matrix.of(1, 1, (double[]) null)),
                refused("ofRow", "values is null, expected a value", () -> Matrix.ofRow((double[]) null)),
                refused("ofRows", "rows is null, expected a value", () -> Matrix.ofRows((double[][]) null)),
                refused("ofRows", "row 0 is null, expected a value", () -> Matrix.ofRows(null, new double[1])),
                refused("ofRows", "row 1 is null, expected a value", () -> Matrix.ofRows(new double[1], null)),
                refused(
                        "ofRows",
                        "row 1 has length 1, expected 2 (the length of row 0)",
                        () -> Matrix.ofRows(new double[2], new double[1])),
                refused("ofRows", tooLarge, () -> Matrix.ofRows(rows65536)),
                refused("generate", "f is null, expected a value", () -> Matrix.generate(1, 1, null)),
                refused("map", "f is null, expected a value", () -> A.map(null)),
                refused("combine", "f is null, expected a value", () -> A.combine(A, null)),
                refused("get", "row is -1, expected at least 0 and less than 2", () -> A.get(-1, 0)),
                refused("get", "row is 2, expected at least 0 and less than 2", () -> A.get(2, 0)),
                refused("get", "column is -1, expected at least 0 and less than 3", () -> A.get(1, -1)),
                refused("get", "column is 3, expected at least 0 and less than 3", () -> A.get(0, 3)),
                refused("row", "row is -1, expected at least 0 and less than 2", () -> A.row(-1)),
                refused("row", "row is 2, expected at least 0 and less than 2", () -> A.row(2)),
                refused("selectRows", "row is -1, expected at least 0 and less than 2", () -> A.selectRows(0, -1)),
                refused("selectRows", "row is 2, expected at least 0 and less than 2", () -> A.selectRows(2)),
                refused("selectRows", "rows is null, expected a value", () -> A.selectRows((int[]) null)),
                refused("selectRows", tooLarge, () -> Matrix.ofRow(long65536).selectRows(new int[65536])),
                refused("times", "right is 2x3, expected 3xN (this is 2x3)", () -> A.times(C)),
                refused("times", "right is null, expected a value", () -> A.times((Matrix) null)),
                refused("times", tooLarge, () -> column0.times(row0)),
                refused("plusRow", "row is 1x2, expected 1x3", () -> A.plusRow(Matrix.ofRow(1, 2))),
                refused("plusRow", "row is 2x3, expected 1x3", () -> A.plusRow(A)),
                refused("plusRow", "row is null, expected a value", () -> A.plusRow(null)),
                refused("columnMeans", "this is 0x3, expected at least 1 row", Matrix.zeros(0, 3)::columnMeans),
                refused("argMaxOfRows", "this is 3x0, expected at least 1 column", Matrix.zeros(3, 0)::argMaxOfRows));
    }

    private record Refused<T, U>(String method, BiFunction<T, U, Matrix> operation) {
        Arguments on(T first, U second, String fault) {
            return refused(method, fault, () -> operation.apply(first, second));
        }
    }

    /**
     * A null is a NullPointerException, an index an IndexOutOfBoundsException, all else an IllegalArgumentException.
     */
    private static Arguments refused(String method, String fault, ThrowingCallable call) {
        Class<?> type = fault.contains("is null")
                ? NullPointerException.class
                : fault.contains("less than") ? IndexOutOfBoundsException.class : IllegalArgumentException.class;
        return arguments("Matrix." + method + ": " + fault, type, call);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource({"refusedSizes", "refusedShapes", "refusedArguments"})
    void factoryOrOperation_badArgument_rejected(String message, Class<?> type, ThrowingCallable call) {
        assertThatThrownBy(call).isExactlyInstanceOf(type).hasMessage(message);
    }
}
