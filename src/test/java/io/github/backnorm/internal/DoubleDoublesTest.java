package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Random;
import java.util.function.BinaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The bits of {@link DoubleDouble}, whose errors are tested there. */
final class DoubleDoublesTest {
    private static final long SEED = 20261124;
    private static final int N = 1003;

    private final Random random = new Random(SEED);
    private final DoubleDoubles a = words();
    private final DoubleDoubles b = words();

    /** From 2^−40 to 2^40; every fifth is nearly the negative of a's. */
    private DoubleDoubles words() {
        DoubleDoubles words = DoubleDoubles.zeros(N);
        for (int j = 0; j < N; j++) {
            double hi = Math.scalb(random.nextGaussian(), random.nextInt(81) - 40);
            hi = a != null && j % 5 == 0 ? -a.hi()[j] + (random.nextInt(3) - 1) * Math.ulp(hi) : hi;
            words.set(j, DoubleDouble.sum(hi, Math.ulp(hi) * (random.nextDouble() - 0.5)));
        }
        return words;
    }

    private void assertBits(DoubleDoubles result, BinaryOperator<DoubleDouble> operation) {
        assertThat(IntStream.range(0, N).mapToObj(result::get))
                .as("seed %d", SEED)
                .containsExactlyElementsOf(IntStream.range(0, N)
                        .mapToObj(j -> operation.apply(a.get(j), b.get(j)))
                        .toList());
    }

    @Test
    void operations_finiteWords_bitsOfDoubleDouble() {
        DoubleDoubles to = DoubleDoubles.zeros(N);

        assertBits(a.plus(b, to), (x, y) -> x.plus(y));
        assertBits(a.minus(b, to), (x, y) -> x.plus(y.negated()));
        assertBits(a.times(b, to), (x, y) -> x.times(y));
        assertBits(a.dividedBy(3, to), (x, y) -> x.dividedBy(3));
        assertBits(
                a.times(a, DoubleDoubles.zeros(N)).inverseSqrt(to),
                (x, y) -> x.times(x).inverseSqrt());
        assertThat(to.fill(DoubleDouble.sum(1, 0x1p-60)).get(N - 1)).isEqualTo(DoubleDouble.sum(1, 0x1p-60));
    }

    /** The bound is b's leading words: as large as the numbers, smaller and larger by far, and 0. */
    @Test
    void anchor_termsUpToTheBound_addWithTheirErrors() {
        DoubleDoubles anchored = a.copyOfRange(0, N);
        double[] bound = Arrays.stream(b.hi()).map(Math::abs).toArray();
        bound[1] = 0;

        double[] anchor = anchored.anchor(bound.clone());

        for (int j = 0; j < N; j++) {
            double number = anchored.hi()[j];
            double term = bound[j] * (j % 2 == 0 ? 1 : -random.nextDouble());
            double sum = number + term;
            BigDecimal exact = exact(a.hi()[j], a.lo()[j], term);
            BigDecimal computed = exact(sum - anchor[j], anchored.lo()[j], term - (sum - number));
            assertThat(exact.subtract(computed).abs().doubleValue())
                    .as("[%d], seed %d", j, SEED)
                    .isLessThanOrEqualTo(0x1p-105 * anchor[j]);
            assertThat(exact(sum).subtract(exact(anchor[j])))
                    .as("[%d], seed %d", j, SEED)
                    .isEqualByComparingTo(exact(sum - anchor[j]));
        }
    }

    private static BigDecimal exact(double... words) {
        return Arrays.stream(words).mapToObj(BigDecimal::new).reduce(BigDecimal.ZERO, BigDecimal::add);
    }

    @Test
    void operations_intoAnOperand_sameBits() {
        DoubleDoubles copy = DoubleDoubles.zeros(N);
        for (int j = 0; j < N; j++) {
            copy.set(j, a.get(j));
        }

        assertThat(copy.times(b, copy)).isSameAs(copy);
        assertBits(copy, (x, y) -> x.times(y));
        assertBits(copy.plus(b, copy), (x, y) -> x.times(y).plus(y));
        assertBits(copy.dividedBy(7, copy), (x, y) -> x.times(y).plus(y).dividedBy(7));
    }

    @Test
    void values_intoPartOfArray_rounded() {
        double[] values = new double[N + 2];

        a.values(values, 1);

        assertThat(values[0]).isZero();
        assertThat(values[N + 1]).isZero();
        assertThat(IntStream.range(0, N).mapToDouble(j -> a.get(j).value()).toArray())
                .isEqualTo(Arrays.copyOfRange(values, 1, N + 1));
    }
}
