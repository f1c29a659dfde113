package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * A matrix product by loops that C2 vectorizes by itself.
 *
 * <p>Structure. The innermost loop updates three rows of C by three rows of B: nine fused multiply-adds for three loads
 * of B and three loads and stores of C, independent of each other from column to column. More of them C2 does not
 * vectorize in one loop on JDK 17. Nor does it if an array is read at two variable offsets, so each of the six rows is
 * an array of its own: B is copied, {@value #DEPTH} rows by {@value #WIDTH} columns, which stay in the second-level
 * cache while the rows of C pass by, and three rows of C are copied out and in.
 */
final class ScalarProducts {
    static final int DEPTH = 63; // a multiple of 3
    static final int WIDTH = 512;

    /** Up to this number of rows, B is not packed: it would cost more than it saves. */
    private static final int FEW_ROWS = 3;

    private final double[] a;
    private final int aRow; // from a row of op(A) to the next
    private final int aColumn;
    private final int width;
    private final double[][] b;
    private final double[][] c = new double[3][];

    private ScalarProducts(double[] a, int aRow, int aColumn, int depth, int width) {
        this.a = a;
        this.aRow = aRow;
        this.aColumn = aColumn;
        this.width = width;
        b = new double[depth][width];
        Arrays.setAll(c, row -> new double[width]);
    }

    /** As {@link Kernels#gemm}; k is at least 1. */
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
        boolean parallel = Parallel.pays(2.0 * m * n * k);
        int parts = parallel ? Math.max(1, Math.min(m / 12, Parallel.tasks() / segments)) : 1;
        Parallel.run(parallel, segments * parts, task -> {
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
        double[] sums = new double[n];
        for (int i = 0; i < m; i++) {
            Arrays.fill(sums, 0.0);
            for (int p = 0; p < k; p++) {
                Kernels.addScaled(n, a[i * k + p], b, p * n, sums);
            }
            if (bias != null) {
                Kernels.add(n, bias, 0, sums, 0);
            }
            System.arraycopy(sums, 0, c, i * n, n);
        }
    }

    private void pack(double[] from, int start, int ld, int depth) {
        for (int p = 0; p < depth; p++) {
            System.arraycopy(from, start + p * ld, b[p], 0, b[p].length);
        }
    }

    private void packTransposed(double[] from, int start, int ld, int depth) {
        for (int p = 0; p < depth; p++) {
            double[] row = b[p];
            for (int j = 0; j < row.length; j++) {
                row[j] = from[start + j * ld + p];
            }
        }
    }

    /** Rows of C, of the columns from j on, plus the packed rows of B times the columns of A from p on. */
    private void update(int from, int to, int p, int depth, double[] target, int j, int ld) {
        for (int i = from; i < to; i += 3) {
            int rows = Math.min(3, to - i);
            for (int row = 0; row < rows; row++) {
                if (p == 0) {
                    Arrays.fill(c[row], 0.0);
                } else {
                    System.arraycopy(target, (i + row) * ld + j, c[row], 0, c[row].length);
                }
            }
            int x = i * aRow + p * aColumn;
            int q = 0;
            if (rows == 3) {
                for (; q + 2 < depth; q += 6) {
                    boolean six = q + 5 < depth;
                    int r = six ? q + 3 : q;
                    int start = x + q * aColumn;
                    update(
                            width, six, a, start, aRow, aColumn, b[q], b[q + 1], b[q + 2], b[r], b[r + 1], b[r + 2],
                            c[0], c[1], c[2]);
                }
                q = depth - depth % 3;
            }
            for (; q < depth; q++) {
                for (int row = 0; row < rows; row++) {
                    Kernels.addScaled(c[row].length, a[x + row * aRow + q * aColumn], b[q], 0, c[row]);
                }
            }
            for (int row = 0; row < rows; row++) {
                System.arraycopy(c[row], 0, target, (i + row) * ld + j, c[row].length);
            }
        }
    }

    /**
     * Three rows of C, the one at x and the two after it, plus the entries of A that begin there times three or six rows
     * of B. Six, because the method is then longer than what C2 inlines; inlined, it would not be vectorized on JDK 17.
     */
    private static void update(
            int n,
            boolean six,
            double[] a,
            int start,
            int aRow,
            int aColumn,
            double[] b0,
            double[] b1,
            double[] b2,
            double[] b3,
            double[] b4,
            double[] b5,
            double[] cx,
            double[] cy,
            double[] cz) {
        int x = start;
        int y = x + aRow;
        int z = y + aRow;
        double x0 = a[x];
        double x1 = a[x + aColumn];
        double x2 = a[x + 2 * aColumn];
        double y0 = a[y];
        double y1 = a[y + aColumn];
        double y2 = a[y + 2 * aColumn];
        double z0 = a[z];
        double z1 = a[z + aColumn];
        double z2 = a[z + 2 * aColumn];
        for (int j = 0; j < n; j++) {
            double u0 = b0[j];
            double u1 = b1[j];
            double u2 = b2[j];
            cx[j] = Math.fma(x2, u2, Math.fma(x1, u1, Math.fma(x0, u0, cx[j])));
            cy[j] = Math.fma(y2, u2, Math.fma(y1, u1, Math.fma(y0, u0, cy[j])));
            cz[j] = Math.fma(z2, u2, Math.fma(z1, u1, Math.fma(z0, u0, cz[j])));
        }
        if (!six) {
            return;
        }
        x += 3 * aColumn;
        y += 3 * aColumn;
        z += 3 * aColumn;
        x0 = a[x];
        x1 = a[x + aColumn];
        x2 = a[x + 2 * aColumn];
        y0 = a[y];
        y1 = a[y + aColumn];
        y2 = a[y + 2 * aColumn];
        z0 = a[z];
        z1 = a[z + aColumn];
        z2 = a[z + 2 * aColumn];
        for (int j = 0; j < n; j++) {
            double u0 = b3[j];
            double u1 = b4[j];
            double u2 = b5[j];
            cx[j] = Math.fma(x2, u2, Math.fma(x1, u1, Math.fma(x0, u0, cx[j])));
            cy[j] = Math.fma(y2, u2, Math.fma(y1, u1, Math.fma(y0, u0, cy[j])));
            cz[j] = Math.fma(z2, u2, Math.fma(z1, u1, Math.fma(z0, u0, cz[j])));
        }
    }
}
