package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The kernels of batch norm and ReLU, scalar and SIMD, against their definitions entry by entry: the same bits. */
@Tag("bits")
final class BatchNormKernelsTest {
    private static final long SEED = 20261124;

    /** Calls that bring a kernel through the interpreter and C1 to C2, whose threshold is 15,000 calls and loops. */
    private static final int CALLS = 20_000;

    private static final int[] ROWS = {0, 1, 2, 3, 5, 31, Normalization.BLOCK};

    private static final int[] COLUMNS = IntStream.concat(IntStream.rangeClosed(0, 17), IntStream.of(63, 64, 65, 100))
            .toArray();

    static List<Kernels> kernels() {
        return Execution.kernels();
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void kernels_anyShapeColdAndCompiled_bitsOfTheDefinitions(Kernels kernels) {
        assertBitsOfAllShapes(kernels);
        for (int i = 0; i < CALLS; i++) {
            new Block(3, 19, 1).run(kernels);
        }
        assertBitsOfAllShapes(kernels);
    }

    private static void assertBitsOfAllShapes(Kernels kernels) {
        for (int m : ROWS) {
            for (int n : COLUMNS) {
                for (int offset : new int[] {0, 3}) {
                    Block expected = new Block(m, n, offset);
                    Block actual = new Block(m, n, offset);
                    expected.define();
                    actual.run(kernels);
                    actual.assertSameBits(expected, kernels + ", " + m + "x" + n + ", offset " + offset);
                }
            }
        }
    }

    /** A block in the middle of larger arrays, what the kernels are given with it, and what they give. */
    private static final class Block {
        final int m;
        final int n;
        final int at;
        final int ld;
        final double[] h;
        final double[] dy;
        final double[] pivot;
        final DoubleDoubles[] words = new DoubleDoubles[8];
        final double[] squares;
        final double[] anchor;
        final double[] y;
        final double[] dh;
        final double[] relu;
        final double[] given;
        final double[] givenRelu;
        final double[] a;
        final double[] masked;

        Block(int m, int n, int offset) {
            Random random = new Random(SEED + 1000L * m + n);
            this.m = m;
            this.n = n;
            this.at = offset;
            this.ld = n + offset;
            this.h = random.doubles(at + m * ld + 1, 1e3, 1e3 + 1).toArray();
            this.dy = random.doubles(h.length, -1, 1).toArray();
            this.pivot = random.doubles(n, -1e3, 1e3).toArray();
            for (int j = 0; j < n && m > 0; j++) { // in the first row
                switch (j % 5) {
                    case 1 -> pivot[j] = h[at + j]; // d = 0
                    case 2 -> h[at + j] = m % 2 == 0 ? 0.0 : -0.0;
                    case 3 -> dy[at + j] = -0.0;
                    default -> {}
                }
            }
            for (int i = 0; i < words.length; i++) {
                double[] hi = random.doubles(n, -1, 1).toArray();
                words[i] = new DoubleDoubles(
                        hi, Arrays.stream(hi).map(w -> 0x1p-55 * w * w).toArray());
            }
            this.squares = random.doubles(n).toArray();
            this.anchor = random.doubles(n, 0, 1e4).toArray();
            this.y = new double[h.length];
            this.dh = new double[h.length];
            this.relu = new double[h.length];
            this.given = new double[h.length];
            this.givenRelu = new double[h.length];
            double[] special = {0.0, -0.0, Double.NaN, -Double.NaN, 1 / 0.0, -1 / 0.0, Double.MIN_VALUE, -1, 2, 3};
            this.a = random.ints(h.length, 0, special.length)
                    .mapToDouble(i -> special[i])
                    .toArray();
            this.masked = new double[h.length];
        }

        void run(Kernels kernels) {
            kernels.sumDeviations(m, n, h, at, ld, pivot, words[0], words[1]);
            kernels.normalize(m, n, h, at, ld, pivot, words[2], words[3], anchor, Double.NEGATIVE_INFINITY, y);
            kernels.normalize(m, n, h, at, ld, pivot, words[2], words[3], anchor, 0, relu);
            kernels.sumGradients(m, n, h, at, ld, dy, pivot, words[4], words[5], squares);
            kernels.differentiate(m, n, h, at, ld, dy, pivot, words[5], words[6], words[7], anchor, dh);
            kernels.normalizeBy(m, n, h, at, ld, pivot, words[2], words[3].hi(), Double.NEGATIVE_INFINITY, given);
            kernels.normalizeBy(m, n, h, at, ld, pivot, words[2], words[3].hi(), 0, givenRelu);
            kernels.reluBackward(m, n, a, at, ld, h, masked);
        }

        void define() {
            columns(j -> {
                for (int i = 0; i < m; i++) {
                    double d = h[at + i * ld + j] - pivot[j];
                    add(words[0], j, DoubleDouble.of(d));
                    add(words[1], j, product(DoubleDouble.of(d), DoubleDouble.of(d)));
                }
            });
            entries((i, j) -> {
                double d = h[at + i * ld + j] - pivot[j];
                y[at + i * ld + j] = words(multiplyAdd(words[2].get(j), d, words[3].get(j)), anchor[j]);
                relu[at + i * ld + j] = Math.max(y[at + i * ld + j], 0);
            });
            columns(j -> {
                for (int i = 0; i < m; i++) {
                    double term = dy[at + i * ld + j];
                    double d = h[at + i * ld + j] - pivot[j];
                    add(words[4], j, DoubleDouble.of(term));
                    add(words[5], j, product(DoubleDouble.of(term), DoubleDouble.of(d)));
                    squares[j] = Math.fma(term, term, squares[j]);
                }
            });
            entries((i, j) -> {
                double d = h[at + i * ld + j] - pivot[j];
                DoubleDouble sum = multiplyAdd(words[5].get(j), dy[at + i * ld + j], words[7].get(j));
                dh[at + i * ld + j] = words(multiplyAdd(words[6].get(j), d, sum), anchor[j]);
            });
            entries((i, j) -> {
                DoubleDouble product = product(words[2].get(j), DoubleDouble.sum(h[at + i * ld + j], -pivot[j]));
                double beta = words[3].hi()[j];
                double sum = beta + product.hi();
                double error = DoubleDouble.sumError(beta, product.hi(), sum);
                given[at + i * ld + j] = sum + (error + product.lo());
                givenRelu[at + i * ld + j] = Math.max(given[at + i * ld + j], 0);
            });
            entries((i, j) -> {
                double entry = a[at + i * ld + j];
                double da = h[at + i * ld + j];
                masked[at + i * ld + j] = entry > 0 ? da : entry <= 0 ? 0.0 : Double.NaN;
            });
        }

        private static double words(DoubleDouble words, double anchor) {
            return (words.hi() - anchor) + words.lo();
        }

        /** {@code factor·x + term} by Fast2Sum of an anchored term. */
        private static DoubleDouble multiplyAdd(DoubleDouble factor, double x, DoubleDouble term) {
            double sum = Math.fma(factor.hi(), x, term.hi());
            double error = Math.fma(factor.hi(), x, term.hi() - sum);
            return new DoubleDouble(sum, error + Math.fma(factor.lo(), x, term.lo()));
        }

        /** Not normalized: the low word is what the kernels carry. */
        private static DoubleDouble product(DoubleDouble a, DoubleDouble b) {
            double product = a.hi() * b.hi();
            double error = DoubleDouble.productError(a.hi(), b.hi(), product);
            return new DoubleDouble(product, Math.fma(a.hi(), b.lo(), Math.fma(a.lo(), b.hi(), error)));
        }

        private static void add(DoubleDoubles sums, int j, DoubleDouble term) {
            DoubleDouble sum = DoubleDouble.sum(sums.hi()[j], term.hi());
            sums.set(j, new DoubleDouble(sum.hi(), sums.lo()[j] + (sum.lo() + term.lo())));
        }

        private void columns(Consumer<Integer> definition) {
            for (int j = 0; j < n; j++) {
                definition.accept(j);
            }
        }

        private interface Entry {
            void define(int i, int j);
        }

        private void entries(Entry entry) {
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    entry.define(i, j);
                }
            }
        }

        /** In whole arrays: what is beside the block is untouched too. */
        void assertSameBits(Block expected, String name) {
            List<double[]> actual = arrays();
            List<double[]> wanted = expected.arrays();
            for (int i = 0; i < actual.size(); i++) {
                assertThat(actual.get(i)).as("array %d, %s", i, name).isEqualTo(wanted.get(i));
            }
        }

        private List<double[]> arrays() {
            Stream<double[]> all = Stream.concat(
                    Arrays.stream(words).flatMap(word -> Stream.of(word.hi(), word.lo())),
                    Stream.of(h, dy, pivot, squares, anchor, y, dh, relu, given, givenRelu, a, masked));
            return all.toList();
        }
    }
}
