package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Random;
import java.util.function.BinaryOperator;
import java.util.function.UnaryOperator;
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

    /** Lets an operation on a copy of a have the bits of DoubleDouble's, and return the copy. */
    private void assertBits(UnaryOperator<DoubleDoubles> operation, BinaryOperator<DoubleDouble> definition) {
        DoubleDoubles copy = DoubleDoubles.zeros(N).set(a);
        assertThat(operation.apply(copy)).isSameAs(copy);
        assertThat(IntStream.range(0, N).mapToObj(copy::get))
                .as("seed %d", SEED)
                .containsExactlyElementsOf(IntStream.range(0, N)
                        .mapToObj(j -> definition.apply(a.get(j), b.get(j)))
                        .toList());
    }

    @Test
    void operations_finiteWords_bitsOfDoubleDouble() {
        DoubleDouble third = DoubleDouble.of(1).dividedBy(3);

        assertBits(x -> x.add(b), (x, y) -> x.plus(y));
        assertBits(x -> x.add(0.1), (x, y) -> x.plus(DoubleDouble.of(0.1)));
        assertBits(x -> x.subtractProduct(b, a), (x, y) -> x.plus(y.times(x).negated()));
        assertBits(x -> x.multiply(b), (x, y) -> x.times(y));
        assertBits(x -> x.multiply(third), (x, y) -> x.times(third));
        assertBits(x -> x.divide(3), (x, y) -> x.dividedBy(3));
        assertBits(x -> x.multiply(a).inverseSqrt(), (x, y) -> x.times(x).inverseSqrt());
        assertBits(DoubleDoubles::setZero, (x, y) -> DoubleDouble.ZERO);
        assertBits(x -> x.set(b.hi(), 0), (x, y) -> DoubleDouble.of(y.hi()));
    }

    @Test
    void operations_onThemselves_sameBits() {
        assertBits(x -> x.multiply(x), (x, y) -> x.times(x));
        assertBits(x -> x.add(x), (x, y) -> x.plus(x));
        assertBits(x -> x.subtractProduct(x, x), (x, y) -> x.plus(x.times(x).negated()));
    }

    /** The bound is b's leading words: as large as the numbers, smaller and larger by far, and 0. */
    @Test
    void setAnchored_termsUpToTheBound_addWithTheirErrors() {
        DoubleDoubles anchored = DoubleDoubles.zeros(N);
        double[] bound = Arrays.stream(b.hi()).map(Math::abs).toArray();
        bound[1] = 0;

        double[] anchor = new double[N];
        anchored.setAnchored(a, bound, anchor);

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
    void round_intoPartOfArray_nearestDoubles() {
        double[] values = new double[N + 2];

        a.round(values, 1);

        assertThat(values[0]).isZero();
        assertThat(values[N + 1]).isZero();
        assertThat(IntStream.range(0, N).mapToDouble(j -> a.get(j).value()).toArray())
                .isEqualTo(Arrays.copyOfRange(values, 1, N + 1));
    }
}
