package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.Arrays;
import java.util.function.DoubleBinaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class ElementwiseTest {
    private static final double NAN = Double.NaN;
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final double MAX = Double.MAX_VALUE;
    private static final double MIN = Double.MIN_VALUE;
    private static final double FACTOR = 1 + 0x1p-30;

    /** In −1 + FACTOR·(1 − 2⁻³⁰) a fused multiply-add differs from a multiplication and an addition. */
    private static final double[] VALUES = {
        0.0, -0.0, MIN, -MIN, 0.1, -0.3, MAX, -MAX, INFINITY, -INFINITY, NAN, -1, 1 - 0x1p-30
    };

    private interface Operation {
        void run(double[] a, double[] b, double[] c);
    }

    static Stream<Arguments> operations() {
        return Stream.of(
                operation("add", Elementwise::add, (v, w) -> v + w),
                operation("subtract", Elementwise::subtract, (v, w) -> v - w),
                operation("multiply", Elementwise::multiply, (v, w) -> v * w),
                operation("scale", (a, b, c) -> Elementwise.scale(FACTOR, b, c), (v, w) -> FACTOR * w),
                operation(
                        "addScaled",
                        (a, b, c) -> Elementwise.addScaled(a, FACTOR, b, c),
                        (v, w) -> Math.fma(FACTOR, w, v)),
                operation("relu", (a, b, c) -> Elementwise.relu(a, c), (y, da) -> Double.isNaN(y) || y > 0 ? y : 0.0),
                operation(
                        "reluBackward", Elementwise::reluBackward, (y, da) -> Double.isNaN(y) ? y : y > 0 ? da : 0.0));
    }

    private static Arguments operation(String name, Operation operation, DoubleBinaryOperator definition) {
        return arguments(name, operation, definition);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("operations")
    void operation_allPairsOfValues_matchesItsDefinition(
            String name, Operation operation, DoubleBinaryOperator definition) {
        double[] a = pairs((v, w) -> v);
        double[] b = pairs((v, w) -> w);
        double[] c = pairs((v, w) -> 7);
        operation.run(a, b, c);
        assertThat(c).as(name).isEqualTo(pairs(definition));
        assertThat(a).as("a after %s", name).isEqualTo(pairs((v, w) -> v));
        assertThat(b).as("b after %s", name).isEqualTo(pairs((v, w) -> w));
    }

    /** Of 2¹⁵ entries a task. */
    @ParameterizedTest
    @ValueSource(ints = {1 << 15, (1 << 15) + 1, 3 << 15, (3 << 15) + 5})
    void reluBackward_severalTasks_matchesItsDefinition(int n) {
        double[] y = IntStream.range(0, n).mapToDouble(i -> i % 3 - 1).toArray();
        double[] da = IntStream.range(0, n).mapToDouble(i -> i + 1).toArray();
        double[] dy = new double[n];
        Arrays.fill(dy, 7);
        Elementwise.reluBackward(y, da, dy);
        assertThat(dy)
                .isEqualTo(IntStream.range(0, n)
                        .mapToDouble(i -> y[i] > 0 ? da[i] : 0)
                        .toArray());
    }

    /** The definition's value for every pair of VALUES. */
    private static double[] pairs(DoubleBinaryOperator definition) {
        int n = VALUES.length;
        return IntStream.range(0, n * n)
                .mapToDouble(t -> definition.applyAsDouble(VALUES[t / n], VALUES[t % n]))
                .toArray();
    }

    static Stream<Arguments> nonFinite() {
        return Stream.of(
                arguments(new double[0], -1),
                arguments(new double[] {0.0, -0.0, MIN, MAX, -MAX}, -1),
                arguments(new double[] {NAN}, 0),
                arguments(new double[] {1, INFINITY, NAN}, 1),
                arguments(new double[] {1, 2, -INFINITY}, 2));
    }

    @ParameterizedTest
    @MethodSource("nonFinite")
    void firstNonFinite_finiteOrNot_returnsFirstIndexOrMinusOne(double[] a, int expected) {
        assertThat(Elementwise.firstNonFinite(a)).isEqualTo(expected);
    }
}
