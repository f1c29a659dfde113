package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.DoubleStream;
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

    private static final int[] ROWS = {0, 1, 2, 3, 5, 31, Quantities.BLOCK};

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

    /** Some rows and columns in the middle of larger arrays, with what the kernels are given and what they give. */
    private static final class Block {
        private static final int FIRST_ROW = 1;

        final int m;
        final int n;
        final Quantities panel;
        final Kernels.Given given;
        final double[] h;
        final double[] dy;
        final double[] y;
        final double[] dh;
        final double[] relu;
        final double[] rows; // of the given columns alone
        final double[] byGiven;
        final double[] byGivenWithRelu;
        final double[] a;
        final double[] masked;

        Block(int m, int n, int offset) {
            Random random = new Random(SEED + 1000L * m + n);
            this.m = m;
            this.n = n;
            this.panel = new Quantities(offset, n, n + offset);
            this.h = random.doubles(panel.at(FIRST_ROW + m) + 1, 1e3, 1e3 + 1).toArray();
            this.dy = random.doubles(h.length, -1, 1).toArray();
            fill(panel.pivot, random.doubles(n, -1e3, 1e3));
            for (int j = 0; j < n && m > 0; j++) {
                int first = panel.at(FIRST_ROW) + j;
                switch (j % 5) {
                    case 1 -> panel.pivot[j] = h[first]; // d = 0
                    case 2 -> h[first] = m % 2 == 0 ? 0.0 : -0.0;
                    case 3 -> dy[first] = -0.0;
                    default -> {}
                }
            }
            for (DoubleDoubles words : words()) {
                fill(words.hi(), random.doubles(n, -1, 1));
                Arrays.setAll(words.lo(), j -> 0x1p-55 * words.hi()[j] * words.hi()[j]);
            }
            fill(panel.sumDySquare, random.doubles(n));
            fill(panel.yAnchor, random.doubles(n, 0, 1e4));
            fill(panel.dhAnchor, random.doubles(n, 0, 1e4));
            this.given = new Kernels.Given(panel.pivot, panel.factor, panel.yStart.hi());
            this.y = new double[h.length];
            this.dh = new double[h.length];
            this.relu = new double[h.length];
            this.rows =
                    random.doubles((long) (FIRST_ROW + m) * n + 1, 1e3, 1e3 + 1).toArray();
            this.byGiven = new double[rows.length];
            this.byGivenWithRelu = new double[rows.length];
            double[] special = {0.0, -0.0, Double.NaN, -Double.NaN, 1 / 0.0, -1 / 0.0, Double.MIN_VALUE, -1, 2, 3};
            this.a = random.ints(h.length, 0, special.length)
                    .mapToDouble(i -> special[i])
                    .toArray();
            this.masked = new double[h.length];
        }

        private static void fill(double[] array, DoubleStream values) {
            System.arraycopy(values.toArray(), 0, array, 0, array.length);
        }

        private List<DoubleDoubles> words() {
            return List.of(
                    panel.sumD,
                    panel.sumDSquare,
                    panel.factor,
                    panel.yStart,
                    panel.sumDy,
                    panel.sumDyD,
                    panel.slope,
                    panel.dhStart);
        }

        void run(Kernels kernels) {
            kernels.sumDeviations(panel, FIRST_ROW, m, h);
            kernels.normalize(panel, FIRST_ROW, m, h, Double.NEGATIVE_INFINITY, y);
            kernels.normalize(panel, FIRST_ROW, m, h, 0, relu);
            kernels.sumGradients(panel, FIRST_ROW, m, h, dy);
            kernels.differentiate(panel, FIRST_ROW, m, h, dy, dh);
            kernels.normalizeGiven(given, FIRST_ROW, m, rows, Double.NEGATIVE_INFINITY, byGiven);
            kernels.normalizeGiven(given, FIRST_ROW, m, rows, 0, byGivenWithRelu);
            kernels.reluBackward(panel.from, a.length - 1, a, h, masked);
        }

        void define() {
            columns(j -> {
                for (int i = FIRST_ROW; i < FIRST_ROW + m; i++) {
                    DoubleDouble d = DoubleDouble.of(h[panel.at(i) + j] - panel.pivot[j]);
                    add(panel.sumD, j, d);
                    add(panel.sumDSquare, j, product(d, d));
                }
            });
            entries((at, j) -> {
                double d = h[at] - panel.pivot[j];
                y[at] = words(multiplyAdd(panel.factor.get(j), d, panel.yStart.get(j)), panel.yAnchor[j]);
                relu[at] = Math.max(y[at], 0);
            });
            columns(j -> {
                for (int i = FIRST_ROW; i < FIRST_ROW + m; i++) {
                    double term = dy[panel.at(i) + j];
                    double d = h[panel.at(i) + j] - panel.pivot[j];
                    add(panel.sumDy, j, DoubleDouble.of(term));
                    add(panel.sumDyD, j, product(DoubleDouble.of(term), DoubleDouble.of(d)));
                    panel.sumDySquare[j] = Math.fma(term, term, panel.sumDySquare[j]);
                }
            });
            entries((at, j) -> {
                double d = h[at] - panel.pivot[j];
                DoubleDouble sum = multiplyAdd(panel.factor.get(j), dy[at], panel.dhStart.get(j));
                dh[at] = words(multiplyAdd(panel.slope.get(j), d, sum), panel.dhAnchor[j]);
            });
            for (int at = FIRST_ROW * n; at < (FIRST_ROW + m) * n; at++) {
                int j = at % n;
                DoubleDouble product = product(given.factor().get(j), DoubleDouble.sum(rows[at], -given.mean()[j]));
                double beta = given.beta()[j];
                double sum = beta + product.hi();
                double error = DoubleDouble.sumError(beta, product.hi(), sum);
                byGiven[at] = sum + (error + product.lo());
                byGivenWithRelu[at] = Math.max(byGiven[at], 0);
            }
            for (int at = panel.from; at < a.length - 1; at++) {
                masked[at] = a[at] > 0 ? h[at] : a[at] <= 0 ? 0.0 : Double.NaN;
            }
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
            void define(int at, int j);
        }

        private void entries(Entry entry) {
            for (int i = FIRST_ROW; i < FIRST_ROW + m; i++) {
                for (int j = 0; j < n; j++) {
                    entry.define(panel.at(i) + j, j);
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
                    words().stream().flatMap(word -> Stream.of(word.hi(), word.lo())),
                    Stream.of(
                            panel.pivot,
                            panel.sumDySquare,
                            panel.yAnchor,
                            panel.dhAnchor,
                            h,
                            dy,
                            y,
                            dh,
                            relu,
                            rows,
                            byGiven,
                            byGivenWithRelu,
                            a,
                            masked));
            return all.toList();
        }
    }
}
