package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.Arrays;
import java.util.function.IntFunction;

/**
 * A matrix product by loops that C2 vectorizes by itself.
 *
 * <p>Structure. The innermost loop updates four rows of C by two rows of B: eight fused multiply-adds for two loads of
 * B and four loads and stores of C, independent of each other from column to column. JDK 17 vectorizes this loop with
 * every garbage collector and in every caller, also for three rows by two and one by four; three by three only at
 * times, five by two never. It does not vectorize a loop that reads an array at two variable offsets, so each of the
 * six rows is an array of its own. B is copied in blocks of {@value #DEPTH} rows by {@value #WIDTH} columns, which stay
 * in the second-level cache while the rows of C pass by. Of C, four rows at a time are copied out and back in.
 *
 * <p>If C has few rows, the loop updates one of them by four rows of B, and B is read once.
 *
 * <p>The arrays of a loop are allocated together, one after the other, with lengths that put each a multiple of 64
 * bytes after the one before ({@link #rows}). So if one is aligned to cache lines, all are: 1.5 times as fast as with
 * arbitrary lengths.
 */
public final class ScalarProducts {
    static final int DEPTH = 64; // even
    static final int WIDTH = 512;

    /** Rows of C in the innermost loop. */
    private static final int ROWS = 4;

    /** The fewest rows of C in a task. Each task copies B for itself, here in a tenth of its time. */
    private static final int ROWS_OF_TASK = 64;

    /** The most rows of C for the loop by four rows of B. */
    private static final int FEW_ROWS = 2;

    private final Operand a;
    private final int width;
    private final double[][] b;
    private final double[][] c;

    private ScalarProducts(Operand a, int depth, int width) {
        this.a = a;
        this.width = width;
        double[][] rows = rows(ROWS + depth, width);
        c = Arrays.copyOf(rows, ROWS);
        b = Arrays.copyOfRange(rows, ROWS, rows.length);
    }

    /** The product, with {@code row} added to each row if it has entries. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        double[] c = arrayFor.apply(a.rows() * b.columns());
        if (a.rows() <= FEW_ROWS && a.hasContiguousRows() && b.hasContiguousRows()) {
            multiplyFewRows(a, b, row, c);
        } else {
            multiplyBlocks(parallel, a, b, row, c);
        }
        return c;
    }

    private static void multiplyBlocks(Parallel parallel, Operand a, Operand b, double[] row, double[] c) {
        int m = a.rows();
        int n = b.columns();
        int k = a.columns();
        int segments = (n + WIDTH - 1) / WIDTH;
        int helpers = parallel.helpers(2.0 * m * n * k);
        int parts = helpers > 0 ? Math.max(1, Math.min(m / ROWS_OF_TASK, Parallel.tasks(helpers) / segments)) : 1;
        parallel.run(helpers, segments * parts, task -> {
            int j = task / parts * WIDTH;
            int columns = Math.min(WIDTH, n - j);
            int part = task % parts;
            int from = (int) ((long) m * part / parts);
            int to = (int) ((long) m * (part + 1) / parts);
            ScalarProducts product = new ScalarProducts(a, Math.min(DEPTH, k), columns);
            for (int p = 0; p < k; p += DEPTH) {
                int depth = Math.min(DEPTH, k - p);
                product.pack(b, p, j, depth);
                product.updateBlock(from, to, p, depth, c, j, n);
            }
            for (int i = from; i < to && row.length > 0; i++) {
                addRow(columns, row, j, c, i * n + j);
            }
        });
    }

    private static void multiplyFewRows(Operand a, Operand b, double[] row, double[] c) {
        int m = a.rows();
        int n = b.columns();
        int k = a.columns();
        double[][] rows = rows(4 + m, n);
        double[][] fourOfB = Arrays.copyOf(rows, 4);
        double[][] sums = Arrays.copyOfRange(rows, 4, 4 + m);
        int p = 0;
        for (; p + 3 < k; p += 4) {
            for (int i = 0; i < 4; i++) {
                System.arraycopy(b.data(), b.at(p + i, 0), fourOfB[i], 0, n);
            }
            for (int i = 0; i < m; i++) {
                addOneByFour(n, a.data(), a.at(i, p), fourOfB[0], fourOfB[1], fourOfB[2], fourOfB[3], sums[i]);
            }
        }
        for (int i = 0; i < m; i++) {
            for (int q = p; q < k; q++) {
                addScaled(n, a.data()[a.at(i, q)], b.data(), b.at(q, 0), sums[i]);
            }
            if (row.length > 0) {
                addRow(n, row, 0, sums[i], 0);
            }
            System.arraycopy(sums[i], 0, c, i * n, n);
        }
    }

    /** {@code c[co + j] += row[from + j]} for n entries. */
    public static void addRow(int n, double[] row, int from, double[] c, int co) {
        for (int j = 0; j < n; j++) {
            c[co + j] += row[from + j];
        }
    }

    /** Arrays of at least n zeros, aligned alike: with its header of 16 bytes, each has a multiple of 64 bytes. */
    public static double[][] rows(int count, int n) {
        return new double[count][(n + 1) / 8 * 8 + 6];
    }

    /** Copies {@code depth} rows of B from p on, in the columns from j on. */
    private void pack(Operand from, int p, int j, int depth) {
        if (from.hasContiguousRows()) {
            for (int i = 0; i < depth; i++) {
                System.arraycopy(from.data(), from.at(p + i, j), b[i], 0, width);
            }
        } else {
            packColumns(from.data(), from.at(p, j), from.columnStep(), depth);
        }
    }

    /** Reads along memory; the cache lines that it writes stay in the first-level cache. */
    private void packColumns(double[] from, int start, int columnStep, int depth) {
        for (int j = 0; j < width; j++) {
            int column = start + j * columnStep;
            for (int i = 0; i < depth; i++) {
                b[i][j] = from[column + i];
            }
        }
    }

    /** Adds the columns of A from p on times the packed rows of B to rows of C, in the columns from j on. */
    private void updateBlock(int from, int to, int p, int depth, double[] target, int j, int n) {
        int step = a.columnStep();
        for (int i = from; i < to; i += ROWS) {
            int rows = Math.min(ROWS, to - i); // of the four that are computed, these are copied back
            for (int row = 0; row < rows; row++) {
                if (p == 0) {
                    Arrays.fill(c[row], 0.0);
                } else {
                    System.arraycopy(target, (i + row) * n + j, c[row], 0, width);
                }
            }
            int x = a.at(i, p);
            int y = a.at(i + Math.min(1, rows - 1), p);
            int z = a.at(i + Math.min(2, rows - 1), p);
            int w = a.at(i + rows - 1, p);
            int q = 0;
            for (; q + 1 < depth; q += 2) {
                int at = q * step;
                addFourByTwo(
                        width, a.data(), step, x + at, y + at, z + at, w + at, b[q], b[q + 1], c[0], c[1], c[2], c[3]);
            }
            if (q < depth) {
                for (int row = 0; row < rows; row++) {
                    addScaled(width, a.data()[a.at(i + row, p + q)], b[q], 0, c[row]);
                }
            }
            for (int row = 0; row < rows; row++) {
                System.arraycopy(c[row], 0, target, (i + row) * n + j, width);
            }
        }
    }

    /** Adds the entries of A from x on times four rows of B to a row of C. */
    private static void addOneByFour(
            int n, double[] a, int x, double[] b0, double[] b1, double[] b2, double[] b3, double[] c) {
        double x0 = a[x];
        double x1 = a[x + 1];
        double x2 = a[x + 2];
        double x3 = a[x + 3];
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(x3, b3[j], Math.fma(x2, b2[j], Math.fma(x1, b1[j], Math.fma(x0, b0[j], c[j]))));
        }
    }

    /** Adds the entries of A at x, y, z and w, and a step after each, times two rows of B to four rows of C. */
    private static void addFourByTwo(
            int n,
            double[] a,
            int step,
            int x,
            int y,
            int z,
            int w,
            double[] b0,
            double[] b1,
            double[] cx,
            double[] cy,
            double[] cz,
            double[] cw) {
        double x0 = a[x];
        double x1 = a[x + step];
        double y0 = a[y];
        double y1 = a[y + step];
        double z0 = a[z];
        double z1 = a[z + step];
        double w0 = a[w];
        double w1 = a[w + step];
        for (int j = 0; j < n; j++) {
            double u0 = b0[j];
            double u1 = b1[j];
            cx[j] = Math.fma(x1, u1, Math.fma(x0, u0, cx[j]));
            cy[j] = Math.fma(y1, u1, Math.fma(y0, u0, cy[j]));
            cz[j] = Math.fma(z1, u1, Math.fma(z0, u0, cz[j]));
            cw[j] = Math.fma(w1, u1, Math.fma(w0, u0, cw[j]));
        }
    }

    /** {@code c[j] = fma(factor, b[from + j], c[j])} for n entries. */
    private static void addScaled(int n, double factor, double[] b, int from, double[] c) {
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(factor, b[from + j], c[j]);
        }
    }
}
