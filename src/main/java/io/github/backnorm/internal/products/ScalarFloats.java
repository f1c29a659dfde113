package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.Arrays;
import java.util.function.IntFunction;

/**
 * Products in single precision, by loops that C2 vectorizes by itself.
 *
 * <p>Definition. The entries of A and B are rounded to floats, to nearest. An entry of C is a chain {@code acc = fma(a,
 * b, acc)} in floats, which starts at +0.0f and runs over the inner index in increasing order. A chain has {@value
 * #CHAIN} terms; where there are more, the next chain begins. The chains are added in double, in order, and the row
 * after them.
 *
 * <p>Structure: that of {@link ScalarProducts}. In place of C there are the sums of chains that have not ended.
 */
public final class ScalarFloats {
    /** Terms of a chain. */
    static final int CHAIN = 1024;

    private static final double[] NO_ROW = {};
    private static final int DEPTH = 64; // a divisor of CHAIN, even
    private static final int WIDTH = 512;

    /** Rows of C in the innermost loop. */
    private static final int ROWS = 4;

    /** The fewest rows of C in a task. */
    private static final int ROWS_OF_TASK = 64;

    private final Operand a;
    private final Operand b;
    private final int from;
    private final int rows;
    private final int j;
    private final int width;
    private final float[] sums;
    private final float[][] c;
    private final float[][] packed;

    /** Rows {@code from} to {@code to − 1} of C, {@code width} columns from j on. */
    private ScalarFloats(Operand a, Operand b, int from, int to, int j, int width) {
        this.a = a;
        this.b = b;
        this.from = from;
        this.rows = to - from;
        this.j = j;
        this.width = width;
        sums = Scratch.FLOATS.take(rows * width);
        float[][] zeros = FloatRows.zeros(ROWS + Math.min(DEPTH, a.columns()), width);
        c = Arrays.copyOf(zeros, ROWS);
        packed = Arrays.copyOfRange(zeros, ROWS, zeros.length);
    }

    /** The product, with {@code row} added to each row if it has entries. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        int m = a.rows();
        int n = b.columns();
        int k = a.columns();
        double[] c = arrayFor.apply(m * n);
        int segments = (n + WIDTH - 1) / WIDTH;
        int helpers = parallel.helpers(1.0 * m * n * k);
        int parts = helpers > 0 ? Math.max(1, Math.min(m / ROWS_OF_TASK, Parallel.tasks(helpers) / segments)) : 1;
        parallel.run(helpers, segments * parts, task -> {
            int j = task / parts * WIDTH;
            int part = task % parts;
            int from = (int) ((long) m * part / parts);
            int to = (int) ((long) m * (part + 1) / parts);
            ScalarFloats product = new ScalarFloats(a, b, from, to, j, Math.min(WIDTH, n - j));
            for (int p = 0; p < k; p += CHAIN) {
                product.addChains(p, Math.min(k, p + CHAIN));
                product.addTo(c, n, p == 0, p + CHAIN >= k ? row : NO_ROW);
            }
            Scratch.FLOATS.giveBack(product.sums);
        });
        return c;
    }

    /** Makes the sums chains over the inner indices from {@code start} to {@code end − 1}. */
    private void addChains(int start, int end) {
        Arrays.fill(sums, 0, rows * width, 0);
        for (int p = start; p < end; p += DEPTH) {
            int depth = Math.min(DEPTH, end - p);
            pack(p, depth);
            for (int i = 0; i < rows; i += ROWS) {
                addBlock(i, p, depth);
            }
        }
    }

    /** Copies {@code depth} rows of B from p on. */
    private void pack(int p, int depth) {
        if (b.hasContiguousRows()) {
            for (int i = 0; i < depth; i++) {
                round(width, b.data(), b.at(p + i, j), packed[i], 0);
            }
        } else {
            packColumns(b.data(), b.at(p, j), b.columnStep(), depth);
        }
    }

    /** Reads along memory; the cache lines that it writes stay in the first-level cache. */
    private void packColumns(double[] data, int start, int columnStep, int depth) {
        for (int column = 0; column < width; column++) {
            int at = start + column * columnStep;
            for (int i = 0; i < depth; i++) {
                packed[i][column] = (float) data[at + i];
            }
        }
    }

    /** Adds columns of A from p on times the packed rows of B to the sums of rows from i on. */
    private void addBlock(int i, int p, int depth) {
        int used = Math.min(ROWS, rows - i); // of the four that are computed, these are copied back
        for (int row = 0; row < used; row++) {
            System.arraycopy(sums, (i + row) * width, c[row], 0, width);
        }
        int x = a.at(from + i, p);
        int y = a.at(from + i + Math.min(1, used - 1), p);
        int z = a.at(from + i + Math.min(2, used - 1), p);
        int w = a.at(from + i + used - 1, p);
        int step = a.columnStep();
        int q = 0;
        for (; q + 1 < depth; q += 2) {
            int at = q * step;
            addFourByTwo(
                    width,
                    a.data(),
                    step,
                    x + at,
                    y + at,
                    z + at,
                    w + at,
                    packed[q],
                    packed[q + 1],
                    c[0],
                    c[1],
                    c[2],
                    c[3]);
        }
        for (int row = 0; row < used; row++) {
            if (q < depth) {
                addScaled(width, (float) a.data()[a.at(from + i + row, p + q)], packed[q], c[row]);
            }
            System.arraycopy(c[row], 0, sums, (i + row) * width, width);
        }
    }

    /** Adds the sums to C, and the row if it has entries. */
    private void addTo(double[] target, int n, boolean first, double[] row) {
        for (int i = 0; i < rows; i++) {
            int at = (from + i) * n + j;
            add(width, sums, i * width, first, target, at);
            if (row.length > 0) {
                ScalarProducts.addRow(width, row, j, target, at);
            }
        }
    }

    /** Adds n floats to entries of C, or puts them there first. */
    static void add(int n, float[] sums, int from, boolean first, double[] c, int co) {
        if (first) {
            for (int j = 0; j < n; j++) {
                c[co + j] = sums[from + j];
            }
        } else {
            for (int j = 0; j < n; j++) {
                c[co + j] += sums[from + j];
            }
        }
    }

    /** Rounds n numbers to floats. */
    static void round(int n, double[] from, int start, float[] to, int at) {
        for (int j = 0; j < n; j++) {
            to[at + j] = (float) from[start + j];
        }
    }

    /** Adds the entries of A at x, y, z and w, and a step after each, times two rows of B to four rows of sums. */
    private static void addFourByTwo(
            int n,
            double[] a,
            int step,
            int x,
            int y,
            int z,
            int w,
            float[] b0,
            float[] b1,
            float[] cx,
            float[] cy,
            float[] cz,
            float[] cw) {
        float x0 = (float) a[x];
        float x1 = (float) a[x + step];
        float y0 = (float) a[y];
        float y1 = (float) a[y + step];
        float z0 = (float) a[z];
        float z1 = (float) a[z + step];
        float w0 = (float) a[w];
        float w1 = (float) a[w + step];
        for (int j = 0; j < n; j++) {
            float u0 = b0[j];
            float u1 = b1[j];
            cx[j] = Math.fma(x1, u1, Math.fma(x0, u0, cx[j]));
            cy[j] = Math.fma(y1, u1, Math.fma(y0, u0, cy[j]));
            cz[j] = Math.fma(z1, u1, Math.fma(z0, u0, cz[j]));
            cw[j] = Math.fma(w1, u1, Math.fma(w0, u0, cw[j]));
        }
    }

    /** Adds four factors times four rows of B to a row of sums. */
    public static void addOneByFour(
            int n, float x0, float x1, float x2, float x3, float[] b0, float[] b1, float[] b2, float[] b3, float[] c) {
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(x3, b3[j], Math.fma(x2, b2[j], Math.fma(x1, b1[j], Math.fma(x0, b0[j], c[j]))));
        }
    }

    /** {@code c[j] = fma(factor, b[j], c[j])} for n entries. */
    static void addScaled(int n, float factor, float[] b, float[] c) {
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(factor, b[j], c[j]);
        }
    }
}
