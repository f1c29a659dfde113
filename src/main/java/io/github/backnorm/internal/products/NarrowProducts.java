package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * Products whose B has few columns, such as the last layer of a classifier. Vectors along a row of C would be mostly
 * empty. So the chains of eight entries of a column run side by side instead, each in a register: a multiply-add takes
 * four cycles, and two can begin in one.
 */
public final class NarrowProducts {
    /** Chains side by side. */
    private static final int ROWS = 8;

    /** Rows of C in a task, a multiple of {@link #ROWS}. */
    private static final int ROWS_OF_TASK = 1024;

    private NarrowProducts() {}

    /** Whether B has at most so many columns, C has rows enough, and the rows of A are contiguous. */
    public static boolean suits(Operand a, Operand b, int mostColumns) {
        return b.columns() <= mostColumns && a.rows() >= ROWS && a.hasContiguousRows();
    }

    /** As {@link ScalarProducts#multiply}, for operands that it {@linkplain #suits suits}. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        int m = a.rows();
        int n = b.columns();
        int k = a.columns();
        double[] c = arrayFor.apply(m * n);
        double[][] columns = new double[n][k];
        for (int j = 0; j < n; j++) {
            for (int p = 0; p < k; p++) {
                columns[j][p] = b.data()[b.at(p, j)];
            }
        }
        int tasks = (m + ROWS_OF_TASK - 1) / ROWS_OF_TASK;
        parallel.run(parallel.helpers(2.0 * m * n * k), tasks, task -> {
            int from = task * ROWS_OF_TASK;
            int to = Math.min(m, from + ROWS_OF_TASK);
            for (int j = 0; j < n; j++) {
                multiplyColumn(a, from, to, columns[j], c, j, n);
            }
            for (int i = from; i < to && row.length > 0; i++) {
                ScalarProducts.addRow(n, row, 0, c, i * n);
            }
        });
        return c;
    }

    /** The last rows are computed by themselves, so that a task has any number of them. */
    private static void multiplyColumn(Operand a, int from, int to, double[] column, double[] c, int j, int n) {
        int i = from;
        for (; i + ROWS <= to; i += ROWS) {
            multiplyEightRows(column.length, a.data(), a.at(i, 0), a.rowStep(), column, c, i * n + j, n);
        }
        for (; i < to; i++) {
            double sum = 0;
            for (int p = 0; p < column.length; p++) {
                sum = Math.fma(a.data()[a.at(i, p)], column[p], sum);
            }
            c[i * n + j] = sum;
        }
    }

    private static void multiplyEightRows(
            int k, double[] a, int ao, int rowStep, double[] column, double[] c, int co, int n) {
        int a1 = ao + rowStep;
        int a2 = a1 + rowStep;
        int a3 = a2 + rowStep;
        int a4 = a3 + rowStep;
        int a5 = a4 + rowStep;
        int a6 = a5 + rowStep;
        int a7 = a6 + rowStep;
        double c0 = 0;
        double c1 = 0;
        double c2 = 0;
        double c3 = 0;
        double c4 = 0;
        double c5 = 0;
        double c6 = 0;
        double c7 = 0;
        for (int p = 0; p < k; p++) {
            double b = column[p];
            c0 = Math.fma(a[ao + p], b, c0);
            c1 = Math.fma(a[a1 + p], b, c1);
            c2 = Math.fma(a[a2 + p], b, c2);
            c3 = Math.fma(a[a3 + p], b, c3);
            c4 = Math.fma(a[a4 + p], b, c4);
            c5 = Math.fma(a[a5 + p], b, c5);
            c6 = Math.fma(a[a6 + p], b, c6);
            c7 = Math.fma(a[a7 + p], b, c7);
        }
        c[co] = c0;
        c[co + n] = c1;
        c[co + 2 * n] = c2;
        c[co + 3 * n] = c3;
        c[co + 4 * n] = c4;
        c[co + 5 * n] = c5;
        c[co + 6 * n] = c6;
        c[co + 7 * n] = c7;
    }
}
