package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * A matrix product by loops that C2 vectorizes by itself.
 *
 * <p>Structure. The innermost loop updates four rows of C by two rows of B: eight fused multiply-adds for two loads of
 * B and four loads and stores of C, independent of each other from column to column. JDK 17 vectorizes that with every
 * garbage collector and in every caller, as it does three rows by two and one by four; three by three it does or does
 * not, as the case may be, and never five by two. Nor does it if an array is read at two variable offsets, so each of the
 * six rows is an array of its own: B is copied, {@value #DEPTH} rows by {@value #WIDTH} columns, which stay in the
 * second-level cache while the rows of C pass by, and four rows of C are copied out and in.
 *
 * <p>For a few rows, which all of B passes by once, the loop updates one row of C by four of B.
 *
 * <p>The arrays of a loop are allocated in one go ({@link #rows}), one after the other, and have lengths for which each
 * begins a multiple of 64 bytes after the one before, so that where one is aligned to cache lines, all are: half as fast
 * again as with any lengths.
 */
final class ScalarProducts {
    static final int DEPTH = 64; // even
    static final int WIDTH = 512;

    /** Rows of C in the innermost loop. */
    private static final int ROWS = 4;

    /** The fewest rows of C that are worth a copy of B, which each task makes for itself: a tenth of its time. */
    private static final int ROWS_OF_TASK = 64;

    /** Up to this number of rows, four rows of B at a time are enough. */
    private static final int FEW_ROWS = 2;

    private final double[] a;
    private final int aRow; // from a row of op(A) to the next
    private final int aColumn;
    private final int width;
    private final double[][] b;
    private final double[][] c;

    private ScalarProducts(double[] a, int aRow, int aColumn, int depth, int width) {
        this.a = a;
        this.aRow = aRow;
        this.aColumn = aColumn;
        this.width = width;
        double[][] rows = rows(ROWS + depth, width);
        c = Arrays.copyOf(rows, ROWS);
        b = Arrays.copyOfRange(rows, ROWS, rows.length);
    }

    /** As {@link Kernels#gemm}, into an array. */
    static void gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        if (m <= FEW_ROWS && !aTransposed && !bTransposed) {
            fewRows(m, n, k, a, b, bias, c);
            return;
        }
        int segments = (n + WIDTH - 1) / WIDTH;
        int helpers = Parallel.helpers(2.0 * m * n * k);
        int parts = helpers > 0 ? Math.max(1, Math.min(m / ROWS_OF_TASK, Parallel.tasks(helpers) / segments)) : 1;
        Parallel.run(helpers, segments * parts, task -> {
            int j = task / parts * WIDTH;
            int columns = Math.min(WIDTH, n - j);
            int part = task % parts;
            int from = (int) ((long) m * part / parts);
            int to = (int) ((long) m * (part + 1) / parts);
            ScalarProducts product =
                    new ScalarProducts(a, aTransposed ? 1 : k, aTransposed ? m : 1, Math.min(DEPTH, k), columns);
            for (int p = 0; p < k; p += DEPTH) {
                int depth = Math.min(DEPTH, k - p);
                if (bTransposed) {
                    product.packTransposed(b, j * k + p, k, depth);
                } else {
                    product.pack(b, p * n + j, n, depth);
                }
                product.update(from, to, p, depth, c, j, n);
            }
            for (int i = from; i < to && bias != null; i++) {
                Kernels.add(columns, bias, j, c, i * n + j);
            }
        });
    }

    private static void fewRows(int m, int n, int k, double[] a, double[] b, double[] bias, double[] c) {
        double[][] rows = rows(4 + m, n);
        double[][] fourOfB = Arrays.copyOf(rows, 4);
        double[][] sums = Arrays.copyOfRange(rows, 4, 4 + m);
        int p = 0;
        for (; p + 3 < k; p += 4) {
            for (int row = 0; row < 4; row++) {
                System.arraycopy(b, (p + row) * n, fourOfB[row], 0, n);
            }
            for (int i = 0; i < m; i++) {
                update(n, a, i * k + p, fourOfB[0], fourOfB[1], fourOfB[2], fourOfB[3], sums[i]);
            }
        }
        for (int i = 0; i < m; i++) {
            for (int q = p; q < k; q++) {
                addScaled(n, a[i * k + q], b, q * n, sums[i]);
            }
            if (bias != null) {
                Kernels.add(n, bias, 0, sums[i], 0);
            }
            System.arraycopy(sums[i], 0, c, i * n, n);
        }
    }

    /** Arrays of at least n zeros that are aligned alike: each, with its header of 16 bytes, is a multiple of 64. */
    static double[][] rows(int count, int n) {
        return new double[count][(n + 1) / 8 * 8 + 6];
    }

    private void pack(double[] from, int start, int ld, int depth) {
        for (int p = 0; p < depth; p++) {
            System.arraycopy(from, start + p * ld, b[p], 0, width);
        }
    }

    private void packTransposed(double[] from, int start, int ld, int depth) {
        // Along the memory that is read; the lines that are written stay in the first-level cache.
        for (int j = 0; j < width; j++) {
            int column = start + j * ld;
            for (int p = 0; p < depth; p++) {
                b[p][j] = from[column + p];
            }
        }
    }

    /** Rows of C, of the columns from j on, plus the packed rows of B times the columns of A from p on. */
    private void update(int from, int to, int p, int depth, double[] target, int j, int ld) {
        for (int i = from; i < to; i += ROWS) {
            int rows = Math.min(ROWS, to - i); // the others are computed too, and not copied back
            for (int row = 0; row < rows; row++) {
                if (p == 0) {
                    Arrays.fill(c[row], 0.0);
                } else {
                    System.arraycopy(target, (i + row) * ld + j, c[row], 0, width);
                }
            }
            int x = i * aRow + p * aColumn;
            int y = x + Math.min(1, rows - 1) * aRow;
            int z = x + Math.min(2, rows - 1) * aRow;
            int w = x + (rows - 1) * aRow;
            int q = 0;
            for (; q + 1 < depth; q += 2) {
                int at = q * aColumn;
                update(width, a, x + at, y + at, z + at, w + at, aColumn, b[q], b[q + 1], c[0], c[1], c[2], c[3]);
            }
            if (q < depth) {
                for (int row = 0; row < rows; row++) {
                    addScaled(width, a[x + row * aRow + q * aColumn], b[q], 0, c[row]);
                }
            }
            for (int row = 0; row < rows; row++) {
                System.arraycopy(c[row], 0, target, (i + row) * ld + j, width);
            }
        }
    }

    /** A row of C plus four rows of B times the entries of A from x on. */
    private static void update(
            int n, double[] a, int x, double[] b0, double[] b1, double[] b2, double[] b3, double[] c) {
        double x0 = a[x];
        double x1 = a[x + 1];
        double x2 = a[x + 2];
        double x3 = a[x + 3];
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(x3, b3[j], Math.fma(x2, b2[j], Math.fma(x1, b1[j], Math.fma(x0, b0[j], c[j]))));
        }
    }

    /** Four rows of C plus two rows of B times the entries of A that begin at x, y, z and w. */
    private static void update(
            int n,
            double[] a,
            int x,
            int y,
            int z,
            int w,
            int aColumn,
            double[] b0,
            double[] b1,
            double[] cx,
            double[] cy,
            double[] cz,
            double[] cw) {
        double x0 = a[x];
        double x1 = a[x + aColumn];
        double y0 = a[y];
        double y1 = a[y + aColumn];
        double z0 = a[z];
        double z1 = a[z + aColumn];
        double w0 = a[w];
        double w1 = a[w + aColumn];
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
