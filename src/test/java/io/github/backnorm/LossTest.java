package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.DoubleDouble;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

final class LossTest {
    private static final long SEED = 71;

    /** Of a batch that is divided. */
    private static final int ROWS = 331;

    private static final double NAN = Double.NaN;
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final BigDecimal U = BigDecimal.ONE.divide(BigDecimal.valueOf(1L << 53));
    private static final Matrix SCORES = Matrix.of(2, 3, 1, 2, 3, -1, 0, 1);

    /** Scores by their size and the distance that is added to the first one of each row. */
    static Stream<Arguments> scores() {
        return Stream.of(
                arguments("equal", 0.0, 0.0),
                arguments("nearly equal", 1e-9, 0.0),
                arguments("ordinary", 3.0, 0.0),
                arguments("wide", 350.0, 0.0),
                arguments("a loss of 1e-14", 0.5, 32.0),
                arguments("a loss of 1e-200", 0.5, 460.0),
                arguments("a loss near the smallest double", 5.0, 735.0),
                arguments("far from 0", 1e-3, 1e9),
                arguments("1e15", 1e15, 0.0),
                arguments("1e300", 1e300, 0.0),
                arguments("1e300 and one row's first above", 1e300, 1e300));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scores")
    void softmaxCrossEntropy_anyScores_withinBoundOfExactArithmetic(String name, double size, double first) {
        Random random = new Random(SEED);
        for (int batch = 1; batch <= 4; batch++) {
            for (int classes = 2; classes <= 7; classes++) {
                Matrix scores = Matrix.generate(
                        batch, classes, (i, j) -> size * (2 * random.nextDouble() - 1) + (j == 0 ? first : 0));
                int[] labels = random.ints(batch, 0, classes).toArray();
                assertExact(Loss.softmaxCrossEntropy(scores, labels), scores, oneHot(classes, labels));
                int[] firstOfAll = new int[batch];
                assertExact(Loss.softmaxCrossEntropy(scores, firstOfAll), scores, oneHot(classes, firstOfAll));
                Matrix targets = Matrix.generate(batch, classes, (i, j) -> random.nextDouble());
                assertExact(Loss.softmaxCrossEntropy(scores, targets), scores, targets);
                Matrix sparse = targets.map(t -> t < 0.5 ? 0 : t);
                assertExact(Loss.softmaxCrossEntropy(scores, sparse), scores, sparse);
                Matrix nearlyOneHot = Matrix.generate(batch, classes, (i, j) -> j == 0 ? 1 : 1e-17 * targets.get(i, j));
                assertExact(Loss.softmaxCrossEntropy(scores, nearlyOneHot), scores, nearlyOneHot);
            }
        }
    }

    private static Matrix oneHot(int classes, int... labels) {
        return Matrix.generate(labels.length, classes, (i, j) -> labels[i] == j ? 1 : 0);
    }

    /** The bounds that Loss promises; what underflows may add a few of the smallest double for each term. */
    private static void assertExact(Loss loss, Matrix scores, Matrix targets) {
        int classes = scores.columns();
        BigDecimal batch = BigDecimal.valueOf(scores.rows());
        BigDecimal underflow = new BigDecimal(Double.MIN_VALUE).multiply(new BigDecimal(4 * classes * (classes + 1)));
        BigDecimal sum = BigDecimal.ZERO;
        for (int i = 0; i < scores.rows(); i++) {
            ExactLoss exact =
                    new ExactLoss(scores.row(i).toArray(), targets.row(i).toArray());
            sum = sum.add(exact.value);
            for (int j = 0; j < classes; j++) {
                String what = "gradient[" + i + "," + j + "] of\n" + scores + "\n" + targets;
                assertDerivative(loss.gradient().get(i, j), exact, j, batch, 17, underflow, what);
            }
        }
        BigDecimal value = sum.divide(batch, ExactLoss.PRECISION);
        assertClose(
                loss.value(),
                value,
                value.multiply(U).multiply(BigDecimal.valueOf(11)),
                underflow,
                "value of\n" + scores + "\n" + targets);
    }

    /** An entry of a gradient: within so many u of the terms of the exact derivative by score k, divided by a count. */
    private static void assertDerivative(
            double actual, ExactLoss exact, int k, BigDecimal count, int us, BigDecimal underflow, String what) {
        BigDecimal added = exact.added(k).divide(count, ExactLoss.PRECISION);
        BigDecimal subtracted = exact.subtracted(k).divide(count, ExactLoss.PRECISION);
        BigDecimal bound = added.add(subtracted).multiply(U).multiply(BigDecimal.valueOf(us));
        assertClose(actual, added.subtract(subtracted), bound, underflow, what);
    }

    private static void assertClose(
            double actual, BigDecimal exact, BigDecimal bound, BigDecimal underflow, String what) {
        BigDecimal error = new BigDecimal(actual).subtract(exact).abs();
        assertThat(error)
                .as("error of %s, seed %d, the exact being %.17e", what, SEED, exact)
                .isLessThanOrEqualTo(bound.add(underflow));
    }

    @Test
    void softmaxCrossEntropy_labels_sameBitsAsOnesAtTheLabels() {
        Matrix scores = Matrices.uniform(50, 7, SEED).times(20);
        int[] labels = new Random(SEED).ints(50, 0, 7).toArray();
        Loss loss = Loss.softmaxCrossEntropy(scores, labels);
        Loss ofTargets = Loss.softmaxCrossEntropy(scores, oneHot(7, labels));
        assertThat(loss.value()).isEqualTo(ofTargets.value()).isPositive();
        assertThat(loss.gradient()).isEqualTo(ofTargets.gradient());
    }

    /** Multiples of 2⁻³⁰ stay exact when 2²⁰ is added, and all that counts are their differences. */
    @Test
    void softmaxCrossEntropy_scoresShiftedExactly_sameBits() {
        Matrix scores = Matrices.uniform(9, 5, SEED).map(s -> StrictMath.rint(s * 0x1p30) * 0x1p-30);
        Matrix shifted = scores.map(s -> s + 0x1p20);
        assertThat(shifted.map(s -> s - 0x1p20)).isEqualTo(scores);
        int[] labels = new Random(SEED).ints(9, 0, 5).toArray();
        Loss loss = Loss.softmaxCrossEntropy(scores, labels);
        Loss ofShifted = Loss.softmaxCrossEntropy(shifted, labels);
        assertThat(ofShifted.value()).isEqualTo(loss.value());
        assertThat(ofShifted.gradient()).isEqualTo(loss.gradient());
    }

    /** Computed once; every machine and JDK has to give the same bits. */
    @Test
    void softmaxCrossEntropy_givenScores_knownBits() {
        Loss loss = Loss.softmaxCrossEntropy(Matrices.uniform(8, 6, SEED).times(30), 0, 1, 2, 3, 4, 5, 0, 1);
        assertThat(Double.toHexString(loss.value())).isEqualTo("0x1.c252eeb53cf9ap2");
        assertThat(Arrays.hashCode(loss.gradient().toArray())).isEqualTo(1654644029);
    }

    @Test
    void softmaxCrossEntropy_certainOrHopeless_lossAndGradientKeepTheirDigits() {
        Loss certain = Loss.softmaxCrossEntropy(Matrix.ofRow(40, 0), 0);
        double other = StrictMath.exp(-40); // 4e-18, to which 1 − p would be 0
        assertThat(certain.value()).isCloseTo(other, within(11 * 0x1p-53 * other));
        assertThat(certain.gradient().get(0, 0)).isCloseTo(-other, within(17 * 0x1p-53 * other));
        Loss hopeless = Loss.softmaxCrossEntropy(Matrix.ofRow(-1e300, 1e300), 0);
        assertThat(hopeless.value()).isEqualTo(2e300);
        assertThat(hopeless.gradient()).isEqualTo(Matrix.ofRow(-1, 1));
    }

    @ParameterizedTest
    @CsvSource({"NaN, 1, 2", "1, NaN, 2", "1, 2, NaN", "Infinity, 1, 2", "1, Infinity, Infinity"})
    void softmaxCrossEntropy_rowWithoutSoftmax_nanInValueAndItsRowAlone(double a, double b, double c) {
        Matrix scores = Matrix.of(2, 3, 1, 2, 3, a, b, c);
        Matrix clean = Loss.softmaxCrossEntropy(SCORES, 0, 0).gradient();
        for (int label = 0; label < 3; label++) {
            Loss loss = Loss.softmaxCrossEntropy(scores, 0, label);
            assertThat(loss.value()).isNaN();
            assertThat(loss.gradient().row(0)).isEqualTo(clean.row(0));
            assertThat(loss.gradient().row(1)).isEqualTo(Matrix.ofRow(NAN, NAN, NAN));
        }
        Loss ofNothing = Loss.softmaxCrossEntropy(scores, Matrix.zeros(2, 3));
        assertThat(ofNothing.value()).isNaN();
        assertThat(ofNothing.gradient()).isEqualTo(Matrix.of(2, 3, 0, 0, 0, NAN, NAN, NAN));
    }

    @Test
    void softmaxCrossEntropy_classMaskedByMinusInfinity_asIfItWereNotThere() {
        Matrix scores = Matrix.ofRow(1, -INFINITY, 3);
        Loss loss = Loss.softmaxCrossEntropy(scores, 2);
        Loss without = Loss.softmaxCrossEntropy(Matrix.ofRow(1, 3), 1);
        assertThat(loss.value()).isEqualTo(without.value());
        assertThat(loss.gradient())
                .isEqualTo(Matrix.ofRow(
                        without.gradient().get(0, 0), 0, without.gradient().get(0, 1)));
        Loss impossible = Loss.softmaxCrossEntropy(scores, 1);
        assertThat(impossible.value()).isEqualTo(INFINITY);
        assertThat(impossible.gradient().get(0, 1)).isEqualTo(-1);
    }

    /** A score s is the row (s, 0) of softmax with the targets (t, 1 − t); these t leave 1 − t exact. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("scores")
    void binaryCrossEntropy_anyScores_withinBoundOfExactArithmetic(String name, double size, double first) {
        Random random = new Random(SEED);
        for (double shift : new double[] {0, first, -first}) {
            Matrix scores = Matrix.generate(5, 3, (i, j) -> size * (2 * random.nextDouble() - 1) + shift);
            Matrix targets =
                    Matrix.generate(5, 3, (i, j) -> (i + j) % 3 == 2 ? 0x1p-20 * random.nextInt(1 << 20) : i % 2);
            Loss loss = Loss.binaryCrossEntropy(scores, targets);
            BigDecimal entries = BigDecimal.valueOf(15);
            BigDecimal underflow = new BigDecimal(Double.MIN_VALUE).multiply(BigDecimal.valueOf(4));
            BigDecimal sum = BigDecimal.ZERO;
            for (int i = 0; i < 5; i++) {
                for (int j = 0; j < 3; j++) {
                    double t = targets.get(i, j);
                    ExactLoss exact = new ExactLoss(new double[] {scores.get(i, j), 0}, new double[] {t, 1 - t});
                    sum = sum.add(exact.value);
                    String what = "gradient[" + i + "," + j + "] of\n" + scores + "\n" + targets;
                    assertDerivative(loss.gradient().get(i, j), exact, 0, entries, 9, underflow, what);
                }
            }
            BigDecimal value = sum.divide(entries, ExactLoss.PRECISION);
            BigDecimal bound = value.multiply(U).multiply(BigDecimal.valueOf(11));
            assertClose(loss.value(), value, bound, underflow, "value of\n" + scores + "\n" + targets);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "Infinity, 1, 0, 0",
        "-Infinity, 0, 0, 0",
        "Infinity, 0, Infinity, 1",
        "-Infinity, 1, Infinity, -1",
        "Infinity, 0.25, Infinity, 0.75",
        "-Infinity, 0.25, Infinity, -0.25",
        "1e300, 1, 0, 0",
        "-1e300, 1, 1e300, -1",
        "NaN, 0, NaN, NaN",
        "NaN, 1, NaN, NaN"
    })
    void binaryCrossEntropy_extremeScore_limitAndNoOtherNan(
            double score, double target, double value, double gradient) {
        Loss loss = Loss.binaryCrossEntropy(Matrix.ofRow(score), Matrix.ofRow(target));
        assertThat(loss.value()).isEqualTo(Double.valueOf(value)); // an object, for which NaN equals NaN
        assertThat(loss.gradient().get(0, 0) + 0.0).isEqualTo(Double.valueOf(gradient));

        Loss beside = Loss.binaryCrossEntropy(Matrix.ofRow(score, 2), Matrix.ofRow(target, 1));
        assertThat(beside.gradient().get(0, 1))
                .isEqualTo(Loss.binaryCrossEntropy(Matrix.ofRow(2, 2), Matrix.ofRow(1, 1))
                        .gradient()
                        .get(0, 1));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scores")
    void softmax_anyScores_withinBoundOfExactArithmetic(String name, double size, double first) {
        Random random = new Random(SEED);
        for (int classes = 2; classes <= 7; classes++) {
            Matrix scores =
                    Matrix.generate(2, classes, (i, j) -> size * (2 * random.nextDouble() - 1) + (j == 0 ? first : 0));
            Matrix probabilities = Loss.softmax(scores);
            for (int i = 0; i < 2; i++) {
                ExactLoss exact = new ExactLoss(scores.row(i).toArray(), new double[classes]);
                for (int j = 0; j < classes; j++) {
                    assertProbability(probabilities.get(i, j), exact.probability(j), 10, scores);
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scores")
    void sigmoid_anyScores_withinBoundOfExactArithmetic(String name, double size, double first) {
        Random random = new Random(SEED);
        for (double shift : new double[] {0, first, -first}) {
            Matrix scores = Matrix.generate(3, 3, (i, j) -> size * (2 * random.nextDouble() - 1) + shift);
            Matrix probabilities = Loss.sigmoid(scores);
            for (int i = 0; i < 3; i++) {
                for (int j = 0; j < 3; j++) {
                    ExactLoss exact = new ExactLoss(new double[] {scores.get(i, j), 0}, new double[2]);
                    assertProbability(probabilities.get(i, j), exact.probability(0), 5, scores);
                }
            }
        }
    }

    /** Underflow: 1 ulp from exp, and the halves of its product with the low word and of the quotient. */
    private static void assertProbability(double actual, BigDecimal exact, int us, Matrix scores) {
        BigDecimal bound = exact.multiply(U).multiply(BigDecimal.valueOf(us));
        BigDecimal underflow = new BigDecimal(Double.MIN_VALUE).multiply(BigDecimal.valueOf(2));
        assertClose(actual, exact, bound, underflow, "a probability of\n" + scores);
    }

    @ParameterizedTest
    @CsvSource({
        "1e300, -1e300, 0, 1, 0, 0",
        "1.7e308, -1.7e308, 1.7e308, 0.5, 0, 0.5",
        "-Infinity, 0, 0, 0, 0.5, 0.5",
        "-1e300, -Infinity, -Infinity, 1, 0, 0",
        "NaN, 1, 2, NaN, NaN, NaN",
        "1, 2, NaN, NaN, NaN, NaN",
        "NaN, NaN, NaN, NaN, NaN, NaN",
        "Infinity, 1, 2, NaN, NaN, NaN",
        "-Infinity, -Infinity, -Infinity, NaN, NaN, NaN"
    })
    void softmax_extremeRow_limitOrNanInThatRowAlone(double a, double b, double c, double p, double q, double r) {
        Matrix probabilities = Loss.softmax(Matrix.of(3, 3, 1, 2, 3, a, b, c, -1, 0, 1));
        assertThat(probabilities.row(1)).isEqualTo(Matrix.ofRow(p, q, r));
        assertThat(probabilities.row(0)).isEqualTo(probabilities.row(2)).isEqualTo(Loss.softmax(SCORES.row(0)));
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0.5",
        "-0.0, 0.5",
        "40, 1",
        "700, 1",
        "1e300, 1",
        "Infinity, 1",
        "-746, 0",
        "-1e300, 0",
        "-Infinity, 0",
        "NaN, NaN"
    })
    void sigmoid_extremeScore_limitAndNoOtherNan(double score, double expected) {
        assertThat(Loss.sigmoid(Matrix.of(2, 1, score, 0))).isEqualTo(Matrix.of(2, 1, expected, 0.5));
    }

    /** Computed once; every machine and JDK has to give the same bits. */
    @Test
    void softmaxAndSigmoid_givenScores_knownBits() {
        Matrix scores = Matrices.uniform(8, 6, SEED).times(30);
        assertThat(Arrays.hashCode(Loss.softmax(scores).toArray())).isEqualTo(722825113);
        assertThat(Arrays.hashCode(Loss.sigmoid(scores).toArray())).isEqualTo(-504390763);
    }

    @Test
    void softmaxAndSigmoid_noRows_noRows() {
        assertThat(Loss.softmax(Matrix.zeros(0, 3))).isEqualTo(Matrix.zeros(0, 3));
        assertThat(Loss.sigmoid(Matrix.zeros(0, 3))).isEqualTo(Matrix.zeros(0, 3));
        assertThat(Loss.sigmoid(Matrix.zeros(2, 0))).isEqualTo(Matrix.zeros(2, 0));
    }

    @Test
    void meanSquaredError_givenEntries_valueAndGradientOfDefinition() {
        Loss loss = Loss.meanSquaredError(Matrix.of(2, 2, 1, 2, 3, 4), Matrix.of(2, 2, 1, 0, 4, 8));
        assertThat(loss.value()).isEqualTo((0 + 4 + 1 + 16) / 4.0);
        assertThat(loss.gradient()).isEqualTo(Matrix.of(2, 2, 0, 1, -0.5, -2));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 5", "331, 7"})
    void meanSquaredError_random_withinBoundOfExactArithmetic(int rows, int columns) {
        Matrix y = Matrices.uniform(rows, columns, SEED);
        Matrix target = y.plusScaled(1e-6, Matrices.uniform(rows, columns, SEED + 1)); // differences that cancel
        Loss loss = Loss.meanSquaredError(y, target);
        BigDecimal n = BigDecimal.valueOf((long) rows * columns);
        BigDecimal sum = BigDecimal.ZERO;
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                BigDecimal difference = new BigDecimal(y.get(i, j)).subtract(new BigDecimal(target.get(i, j)));
                sum = sum.add(difference.multiply(difference));
                BigDecimal exact = difference.add(difference).divide(n, ExactLoss.PRECISION);
                BigDecimal bound = exact.abs().multiply(U).multiply(BigDecimal.valueOf(3));
                assertClose(loss.gradient().get(i, j), exact, bound, BigDecimal.ZERO, "gradient");
            }
        }
        BigDecimal exact = sum.divide(n, ExactLoss.PRECISION);
        BigDecimal bound = exact.multiply(U).multiply(BigDecimal.valueOf(5));
        assertClose(loss.value(), exact, bound, BigDecimal.ZERO, "value");
    }

    @Test
    void meanSquaredError_specialValues_passThroughTheirEntryAlone() {
        Loss loss = Loss.meanSquaredError(Matrix.ofRow(NAN, 3, INFINITY, 1), Matrix.ofRow(0, 1, 0, -INFINITY));
        assertThat(loss.value()).isNaN();
        assertThat(loss.gradient()).isEqualTo(Matrix.ofRow(NAN, 1, INFINITY, INFINITY));
        Loss large = Loss.meanSquaredError(Matrix.ofRow(1e200, 0), Matrix.zeros(1, 2));
        assertThat(large.value()).isEqualTo(INFINITY);
        assertThat(large.gradient()).isEqualTo(Matrix.ofRow(1e200, 0));
    }

    static Stream<Function<Matrix, Loss>> losses() {
        return Stream.of(
                y -> Loss.softmaxCrossEntropy(y, 1, 0, 3, 3, 2),
                y -> Loss.softmaxCrossEntropy(y, Matrices.uniform(5, 4, SEED).map(Math::abs)),
                y -> Loss.binaryCrossEntropy(y, Matrices.uniform(5, 4, SEED).map(Math::abs)),
                y -> Loss.meanSquaredError(y, Matrices.uniform(5, 4, SEED)));
    }

    @ParameterizedTest
    @MethodSource("losses")
    void gradient_anyLoss_isDerivativeOfValue(Function<Matrix, Loss> loss) {
        GradientCheck check = GradientCheck.run(
                new Network(),
                Matrices.uniform(5, 4, SEED + 2),
                y -> loss.apply(y).value(),
                y -> loss.apply(y).gradient());
        assertThat(check.worstError()).as("seed %d: %s", SEED, check).isBetween(0.0, 1e-6);
        assertThat(check.skipped()).isZero();
    }

    @ParameterizedTest
    @MethodSource("losses")
    void loss_anyLoss_leavesItsInputAsItWas(Function<Matrix, Loss> loss) {
        Matrix y = Matrices.uniform(5, 4, SEED + 2);
        Loss first = loss.apply(y);
        assertThat(y).isEqualTo(Matrices.uniform(5, 4, SEED + 2));
        assertThat(loss.apply(y).gradient()).isEqualTo(first.gradient()).isNotSameAs(first.gradient());
    }

    // A part of a batch

    static Stream<BiFunction<Matrix, int[], Loss>> lossesOfRows() {
        Matrix targets = Matrices.uniform(ROWS, 3, SEED).map(Math::abs);
        return Stream.of(
                (y, rows) -> Loss.softmaxCrossEntropy(
                        y, Arrays.stream(rows).map(i -> i % 3).toArray()),
                (y, rows) -> Loss.softmaxCrossEntropy(y, targets.selectRows(rows)),
                (y, rows) -> Loss.binaryCrossEntropy(y, targets.selectRows(rows)),
                (y, rows) -> Loss.meanSquaredError(y, targets.selectRows(rows)));
    }

    @ParameterizedTest
    @MethodSource("lossesOfRows")
    void ofBatch_parts_haveTheRowsOfTheWholeGradient(BiFunction<Matrix, int[], Loss> lossOf) {
        Matrix y = Matrices.uniform(ROWS, 3, SEED + 1);
        int[] all = IntStream.range(0, ROWS).toArray();
        Loss whole = lossOf.apply(y, all);
        DoubleDouble sum = new DoubleDouble(0, 0);
        double count = 0;
        for (int from = 0, to = 1; from < ROWS; from = to, to = Math.min(ROWS, 3 * to)) {
            int[] rows = Arrays.copyOfRange(all, from, to);
            Loss own = lossOf.apply(y.selectRows(rows), rows);
            Loss part = own.ofBatch(ROWS);

            assertThat(part.gradient())
                    .as("rows %d to %d", from, to)
                    .isEqualTo(whole.gradient().selectRows(rows));
            assertThat(part.count()).isEqualTo(whole.count());
            assertThat(part.sum()).isEqualTo(own.sum());
            sum = sum.plus(part.sum());
            count += own.count();
        }
        assertThat(count).isEqualTo(whole.count());
        assertThat(whole.value()).isEqualTo(whole.sum().dividedBy(count).value());
        double value = sum.dividedBy(count).value(); // both are within ½ ulp and a little of the sum of the terms
        assertThat(value).isCloseTo(whole.value(), within(Math.ulp(value)));
        assertThat(whole.ofBatch(ROWS)).isSameAs(whole);
    }

    @Test
    void toString_anyLoss_givesValueAndShape() {
        assertThat(Loss.meanSquaredError(SCORES, SCORES)).hasToString("Loss 0.0, gradient 2x3");
    }

    static Stream<Arguments> refusals() {
        String softmax = "Loss.softmaxCrossEntropy: ";
        String binary = "Loss.binaryCrossEntropy: ";
        String squares = "Loss.meanSquaredError: ";
        Class<?> argument = IllegalArgumentException.class;
        Class<?> index = IndexOutOfBoundsException.class;
        Class<?> absent = NullPointerException.class;
        Matrix half = Matrix.filled(2, 3, 0.5);
        return Stream.of(
                refusal(absent, softmax + "scores is null, expected a value", () -> crossEntropy(null, 1)),
                refusal(
                        absent,
                        softmax + "labels is null, expected a value",
                        () -> Loss.softmaxCrossEntropy(SCORES, (int[]) null)),
                refusal(
                        argument,
                        softmax + "labels has length 3, expected 2 (one for each row of scores)",
                        () -> crossEntropy(SCORES, 0, 1, 2)),
                refusal(
                        argument,
                        softmax + "labels has length 0, expected 2 (one for each row of scores)",
                        () -> crossEntropy(SCORES)),
                refusal(
                        index,
                        softmax + "labels[1] is 3, expected at least 0 and less than 3",
                        () -> crossEntropy(SCORES, 2, 3)),
                refusal(
                        index,
                        softmax + "labels[0] is -1, expected at least 0 and less than 3; to leave rows out,"
                                + " take the others by Matrix.selectRows",
                        () -> crossEntropy(SCORES, -1, 3)),
                refusal(
                        argument,
                        softmax + "scores is 0x3, expected at least 1 row and 1 column",
                        () -> crossEntropy(Matrix.zeros(0, 3))),
                refusal(
                        argument,
                        softmax + "scores is 2x0, expected at least 1 row and 1 column",
                        () -> crossEntropy(Matrix.zeros(2, 0), 0, 0)),
                refusal(
                        absent,
                        softmax + "scores is null, expected a value",
                        () -> Loss.softmaxCrossEntropy(null, half)),
                refusal(
                        absent,
                        softmax + "targets is null, expected a value",
                        () -> Loss.softmaxCrossEntropy(SCORES, (Matrix) null)),
                refusal(
                        argument,
                        softmax + "scores is 0x0, expected at least 1 row and 1 column",
                        () -> Loss.softmaxCrossEntropy(Matrix.zeros(0, 0), Matrix.zeros(0, 0))),
                refusal(
                        argument,
                        softmax + "targets is 3x2, expected 2x3",
                        () -> Loss.softmaxCrossEntropy(SCORES, half.transpose())),
                refusal(
                        argument,
                        softmax + "targets[1,0] is -0.25, expected at least 0",
                        () -> Loss.softmaxCrossEntropy(SCORES, Matrix.of(2, 3, 0, 0, 1, -0.25, 0, -1))),
                refusal(
                        argument,
                        softmax + "targets[0,2] is NaN, expected a finite number",
                        () -> Loss.softmaxCrossEntropy(SCORES, Matrix.of(2, 3, 0, 0, NAN, 0, 0, 1))),
                refusal(
                        argument,
                        softmax + "targets[1,1] is Infinity, expected a finite number",
                        () -> Loss.softmaxCrossEntropy(SCORES, Matrix.of(2, 3, 0, 0, 1, 0, INFINITY, 1))),
                refusal(
                        argument,
                        softmax + "scores is 2x1, expected at least 2 columns; use binaryCrossEntropy for two classes"
                                + " with one score",
                        () -> crossEntropy(Matrix.zeros(2, 1), 0, 0)),
                refusal(
                        argument,
                        softmax + "scores is 2x1, expected at least 2 columns; use binaryCrossEntropy for two classes"
                                + " with one score",
                        () -> Loss.softmaxCrossEntropy(Matrix.zeros(2, 1), Matrix.zeros(2, 1))),
                refusal(absent, binary + "scores is null, expected a value", () -> Loss.binaryCrossEntropy(null, half)),
                refusal(
                        argument,
                        binary + "scores is 0x1, expected at least 1 row and 1 column",
                        () -> Loss.binaryCrossEntropy(Matrix.zeros(0, 1), Matrix.zeros(0, 1))),
                refusal(
                        absent,
                        binary + "targets is null, expected a value",
                        () -> Loss.binaryCrossEntropy(SCORES, null)),
                refusal(
                        argument,
                        binary + "targets is 3x2, expected 2x3",
                        () -> Loss.binaryCrossEntropy(SCORES, half.transpose())),
                refusal(
                        argument,
                        binary + "targets[1,0] is -0.25, expected 0 to 1",
                        () -> Loss.binaryCrossEntropy(SCORES, Matrix.of(2, 3, 0, 1, 1, -0.25, 0, 2))),
                refusal(
                        argument,
                        binary + "targets[1,2] is 2.0, expected 0 to 1",
                        () -> Loss.binaryCrossEntropy(SCORES, Matrix.of(2, 3, 0, 1, 1, 0.25, 0, 2))),
                refusal(
                        argument,
                        binary + "targets[0,1] is NaN, expected 0 to 1",
                        () -> Loss.binaryCrossEntropy(SCORES, Matrix.of(2, 3, 0, NAN, 1, 1.25, 0, 2))),
                refusal(absent, "Loss.softmax: scores is null, expected a value", () -> Loss.softmax(null)),
                refusal(
                        argument,
                        "Loss.softmax: scores is 2x1, expected at least 2 columns; use sigmoid for two classes with"
                                + " one score",
                        () -> Loss.softmax(Matrix.zeros(2, 1))),
                refusal(
                        argument,
                        "Loss.softmax: scores is 2x0, expected at least 2 columns; use sigmoid for two classes with"
                                + " one score",
                        () -> Loss.softmax(Matrix.zeros(2, 0))),
                refusal(absent, "Loss.sigmoid: scores is null, expected a value", () -> Loss.sigmoid(null)),
                refusal(absent, squares + "y is null, expected a value", () -> Loss.meanSquaredError(null, half)),
                refusal(
                        absent,
                        squares + "target is null, expected a value",
                        () -> Loss.meanSquaredError(SCORES, null)),
                refusal(
                        argument,
                        squares + "target is 3x2, expected 2x3",
                        () -> Loss.meanSquaredError(SCORES, half.transpose())),
                refusal(
                        argument,
                        squares + "y is 3x0, expected at least 1 row and 1 column",
                        () -> Loss.meanSquaredError(Matrix.zeros(3, 0), Matrix.zeros(3, 0))));
    }

    private static Loss crossEntropy(Matrix scores, int... labels) {
        return Loss.softmaxCrossEntropy(scores, labels);
    }

    private static Arguments refusal(Class<?> type, String message, ThrowingCallable call) {
        return arguments(type, message, call);
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource("refusals")
    void loss_badArgument_rejected(Class<?> type, String message, ThrowingCallable call) {
        assertThatThrownBy(call).isExactlyInstanceOf(type).hasMessage(message);
    }
}
