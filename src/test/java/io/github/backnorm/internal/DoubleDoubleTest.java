package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.BinaryOperator;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The error-free transformations against exact arithmetic, the operations against the bounds that the class promises.
 */
final class DoubleDoubleTest {
    private static final long SEED = 20261123;
    private static final int CASES = 20_000;

    /** u², the unit of the bounds. */
    private static final BigDecimal U_SQUARE = new BigDecimal(Math.scalb(1.0, -106));

    private static final BigDecimal U = new BigDecimal(Math.scalb(1.0, -53));
    private static final BigDecimal PLUS = u2("3").add(U_SQUARE.multiply(U).multiply(new BigDecimal(5)));
    private static final BigDecimal TIMES = u2("5");
    private static final BigDecimal DIVIDED_BY = u2("3.5");
    private static final BigDecimal INVERSE_SQRT = u2("20");

    /** Digits that make the error of the reference negligible beside u² ≈ 1e-32. */
    private static final MathContext EXACT = new MathContext(60);

    private static final double MAX = Double.MAX_VALUE;
    private static final double INFINITY = Double.POSITIVE_INFINITY;

    private final Random random = new Random(SEED);

    @Test
    void sumError_anyMagnitudes_exact() {
        for (int i = 0; i < CASES; i++) {
            int exponent = random.nextInt(2030) - 1070;
            double a = number(exponent);
            double b = number(exponent + random.nextInt(121) - 60);
            assertSumExact(a, b);
            assertSumExact(a, -a * (1 + (random.nextInt(9) - 4) * 0x1p-52));
        }
    }

    @Test
    void sumError_edges_exact() {
        double[] edges = {
            0,
            Double.MIN_VALUE,
            Double.MIN_NORMAL,
            1e-300,
            0x1p-53,
            0x1p-52,
            1,
            1 + 0x1p-52,
            1 - 0x1p-53,
            3,
            1e16,
            0x1p1022
        };
        for (double a : edges) {
            for (double b : edges) {
                assertSumExact(a, b);
                assertSumExact(a, -b);
            }
        }
    }

    private static void assertSumExact(double a, double b) {
        double sum = a + b;
        BigDecimal exact = exact(a).add(exact(b));

        assertThat(exact(sum).add(exact(DoubleDouble.sumError(a, b, sum))))
                .as("%s + %s, seed %d", a, b, SEED)
                .isEqualByComparingTo(exact);
        assertThat(exact(DoubleDouble.sum(a, b)))
                .as("sum(%s, %s), seed %d", a, b, SEED)
                .isEqualByComparingTo(exact);
    }

    /** Exact down to products of 2^−968, the last bit of whose error is 2^−1074. */
    @Test
    void productError_noUnderflow_exact() {
        for (int i = 0; i < CASES; i++) {
            int exponent = random.nextInt(1980) - 967;
            int share = random.nextInt(1001) - 500;
            double a = number(share);
            double b = number(Math.max(-1022, Math.min(exponent - share, 1022 - share)));
            double product = a * b;
            if (Math.abs(product) >= 0x1p-968 && Double.isFinite(product)) {
                assertThat(exact(product).add(exact(DoubleDouble.productError(a, b, product))))
                        .as("%s · %s, seed %d", a, b, SEED)
                        .isEqualByComparingTo(exact(a).multiply(exact(b)));
            }
        }
    }

    @Test
    void plus_anyNumbers_withinBound() {
        for (DoubleDouble a : numbers()) {
            DoubleDouble near = number(Math.getExponent(a.hi()), random.nextInt(3));
            DoubleDouble small = number(Math.getExponent(a.hi()) - random.nextInt(110), random.nextInt(3));
            DoubleDouble nearlyOpposite = negative(new DoubleDouble(
                    a.hi(), a.lo() + (random.nextInt(5) - 2) * Math.ulp(Math.ulp(a.hi()) / 8)));
            for (DoubleDouble b : List.of(near, negative(near), small, negative(small), nearlyOpposite, negative(a))) {
                assertSumWithin(a, b);
                assertSumWithin(b, a);
            }
        }
    }

    @Test
    void times_anyNumbers_withinBound() {
        for (DoubleDouble a : numbers()) {
            DoubleDouble b = number(random.nextInt(400) - 200, random.nextInt(3));
            assertWithin(TIMES, "times", a, b, DoubleDouble::times, BigDecimal::multiply);
            assertWithin(TIMES, "times", b, negative(a), DoubleDouble::times, BigDecimal::multiply);
        }
    }

    @Test
    void dividedBy_anyNumbers_withinBound() {
        for (DoubleDouble a : numbers()) {
            for (double divisor : new double[] {1 + random.nextInt(65536), number(0)}) {
                assertWithin(
                        DIVIDED_BY,
                        "dividedBy " + divisor,
                        a,
                        x -> x.dividedBy(divisor),
                        x -> x.divide(exact(divisor), EXACT));
            }
        }
    }

    @Test
    void inverseSqrt_moderateNumbers_withinBound() {
        for (DoubleDouble a : numbers()) {
            DoubleDouble positive = a.hi() < 0 ? negative(a) : a;
            assertWithin(
                    INVERSE_SQRT,
                    "inverseSqrt",
                    positive,
                    DoubleDouble::inverseSqrt,
                    x -> BigDecimal.ONE.divide(x.sqrt(EXACT), EXACT));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {-900, -60, -1, 0, 1, 60, 900})
    void scaled_noOverflowOrUnderflow_exact(int exponent) {
        DoubleDouble third = new DoubleDouble(1, 0).dividedBy(3);

        assertThat(third.scaled(exponent))
                .isEqualTo(new DoubleDouble(Math.scalb(third.hi(), exponent), Math.scalb(third.lo(), exponent)));
        assertThat(third.scaled(exponent).scaled(-exponent)).isEqualTo(third);
    }

    @Test
    void operations_simpleNumbers_exact() {
        DoubleDouble third = DoubleDouble.of(1).dividedBy(3);

        assertThat(third).isEqualTo(new DoubleDouble(1.0 / 3, 0x1p-54 / 3));
        assertThat(third.plus(third).plus(third).value()).isEqualTo(1);
        assertThat(DoubleDouble.sum(1, 0x1p-70)).isEqualTo(new DoubleDouble(1, 0x1p-70));
        assertThat(DoubleDouble.of(4).inverseSqrt()).isEqualTo(DoubleDouble.of(0.5));
        assertThat(DoubleDouble.ZERO).isEqualTo(new DoubleDouble(0, 0));
        assertThat(DoubleDouble.ZERO.dividedBy(3)).isEqualTo(DoubleDouble.ZERO);
    }

    /** The error of the leading word is a fraction of an ulp, which the word of errors has to make good. */
    @Test
    void value_halfwayAndBeyond_roundsOnce() {
        assertThat(new DoubleDouble(1, 0x1p-53).value()).isEqualTo(1);
        assertThat(new DoubleDouble(1, 0x1p-53 + 0x1p-105).value()).isEqualTo(1 + 0x1p-52);
        assertThat(DoubleDouble.rounded(1, 0.25)).isEqualTo(1.25);
    }

    @Test
    void rounded_errorIsNaN_leadingWord() {
        assertThat(DoubleDouble.rounded(INFINITY, Double.NaN)).isEqualTo(INFINITY);
        assertThat(DoubleDouble.rounded(-INFINITY, Double.NaN)).isEqualTo(-INFINITY);
        assertThat(DoubleDouble.rounded(-INFINITY, INFINITY)).isEqualTo(-INFINITY);
        assertThat(DoubleDouble.rounded(Double.NaN, 1)).isNaN();
    }

    /** Not finite: as in plain arithmetic, with nothing beside it. */
    @ParameterizedTest
    @CsvSource({
        "Infinity, 1",
        "Infinity, -Infinity",
        "-Infinity, 1",
        "NaN, 1",
        "1, NaN",
        "1.7e308, 1.7e308",
        "-1.7e308, -1.7e308",
        "Infinity, Infinity",
        "0, Infinity",
        "1, 0",
        "-1, 0",
        "0, 0",
        "Infinity, 0"
    })
    void operations_notFinite_asInPlainArithmetic(double a, double b) {
        DoubleDouble x = new DoubleDouble(a, Double.isFinite(a) && a != 0 ? Math.ulp(a) / 4 : 0);
        DoubleDouble y = new DoubleDouble(b, Double.isFinite(b) && b != 0 ? Math.ulp(b) / 4 : 0);

        assertAsPlain("sum", a + b, DoubleDouble.sum(a, b));
        assertAsPlain("plus", a + b, x.plus(y));
        assertAsPlain("times", a * b, x.times(y));
        assertAsPlain("dividedBy", a / b, x.dividedBy(b));
    }

    private static void assertAsPlain(String operation, double plain, DoubleDouble result) {
        if (!Double.isFinite(plain)) {
            assertThat(result).as(operation).isEqualTo(new DoubleDouble(plain, 0));
        }
    }

    @Test
    void plus_largestNumbers_finiteUpToTheLast() {
        DoubleDouble largest = DoubleDouble.of(MAX);

        assertThat(largest.plus(DoubleDouble.of(Math.ulp(MAX) / 4)))
                .isEqualTo(new DoubleDouble(MAX, Math.ulp(MAX) / 4));
        assertThat(largest.plus(DoubleDouble.of(Math.ulp(MAX)))).isEqualTo(DoubleDouble.of(INFINITY));
        assertThat(largest.plus(DoubleDouble.of(-MAX))).isEqualTo(DoubleDouble.ZERO);
    }

    /** Relative to the terms, not to their sum. */
    private static void assertSumWithin(DoubleDouble a, DoubleDouble b) {
        BigDecimal terms = exact(a).abs().add(exact(b).abs());
        assertWithin(PLUS.multiply(terms), "plus " + b, a, a.plus(b), exact(a).add(exact(b)));
    }

    private static void assertWithin(
            BigDecimal bound,
            String operation,
            DoubleDouble a,
            DoubleDouble b,
            BinaryOperator<DoubleDouble> computed,
            BinaryOperator<BigDecimal> exact) {
        assertWithin(bound, operation + " " + b, a, x -> computed.apply(x, b), x -> exact.apply(x, exact(b)));
    }

    private static void assertWithin(
            BigDecimal bound,
            String operation,
            DoubleDouble a,
            UnaryOperator<DoubleDouble> computed,
            UnaryOperator<BigDecimal> exact) {
        BigDecimal z = exact.apply(exact(a));
        assertWithin(bound.multiply(z.abs()), operation, a, computed.apply(a), z);
    }

    /** The error is within the bound, and the low word of the result at most half an ulp of the high one. */
    private static void assertWithin(
            BigDecimal bound, String operation, DoubleDouble a, DoubleDouble result, BigDecimal z) {
        assertThat(exact(result).subtract(z).abs())
                .as("error of %s %s = %s, seed %d", a, operation, result, SEED)
                .isLessThanOrEqualTo(bound);
        assertThat(Math.abs(result.lo()))
                .as("low word of %s %s = %s, seed %d", a, operation, result, SEED)
                .isLessThanOrEqualTo(Math.ulp(result.hi()) / 2);
    }

    /** Of both signs; with low words of any size, of exactly half an ulp, and 0. */
    private List<DoubleDouble> numbers() {
        List<DoubleDouble> numbers = new ArrayList<>();
        for (int i = 0; i < CASES; i++) {
            numbers.add(number(i % 2 == 0 ? random.nextInt(3) : random.nextInt(600) - 300, i % 3));
        }
        for (double hi : new double[] {1, 1 + 0x1p-52, 2 - 0x1p-52, 1.5, 3, 4 - 0x1p-51, 10}) {
            for (double lo : new double[] {0, 0x1p-54, 0x1p-55, 0x1p-80, 0x1p-106}) {
                numbers.add(new DoubleDouble(hi, lo));
                numbers.add(new DoubleDouble(-hi, lo));
            }
        }
        return numbers;
    }

    /** From 2^exponent up to twice that. */
    private DoubleDouble number(int exponent, int kindOfLow) {
        double hi = number(exponent);
        double half = Math.ulp(hi) / 2;
        double lo = half * (2 * random.nextDouble() - 1);
        if (kindOfLow == 1) {
            lo = Math.copySign(half, lo) * (1 - random.nextInt(2) * 0x1p-53);
        } else if (kindOfLow == 2) {
            lo = random.nextInt(4) == 0 ? 0 : lo * 0x1p-20;
        }
        boolean roundsToHi = hi + lo == hi;
        return new DoubleDouble(hi, roundsToHi ? lo : lo / 2);
    }

    private double number(int exponent) {
        double magnitude = Math.scalb(1 + random.nextDouble(), exponent);
        return random.nextBoolean() ? magnitude : -magnitude;
    }

    private static DoubleDouble negative(DoubleDouble a) {
        return new DoubleDouble(-a.hi(), -a.lo());
    }

    private static BigDecimal u2(String factor) {
        return U_SQUARE.multiply(new BigDecimal(factor));
    }

    private static BigDecimal exact(DoubleDouble a) {
        return exact(a.hi()).add(exact(a.lo()));
    }

    private static BigDecimal exact(double a) {
        return new BigDecimal(a);
    }
}
