package io.github.backnorm.internal;

import io.github.backnorm.internal.threads.Parallel;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Batch norm by the statistics of a batch, forward and backward, for one batch after the other. The columns are taken in
 * {@linkplain Panel panels}, which do not depend on each other; {@code Panel} has the equations. The bits of a column
 * depend on nothing but the column.
 *
 * <p>The panels and their arrays are kept from batch to batch: in a small step, new ones took about as long as what is
 * computed in them.
 */
public final class Normalization {
    /** The least y of a batch norm alone. */
    public static final double NO_LEAST = Double.NEGATIVE_INFINITY;

    /** The least y of a batch norm with a ReLU after it. */
    public static final double LEAST_OF_RELU = 0;

    /** Columns of a panel. Wider ones make the kernels' loops longer, narrower ones use fewer pages of memory. */
    private static final int PANEL = 512;

    /** The same where panels are tasks for several threads. */
    private static final int NARROW_PANEL = 128;

    /** Doubles in a cache line. Panels begin at a multiple of them, so that threads share few lines. */
    private static final int LINE = 8;

    /** Operations of a SIMD product that take about as long as an entry does, forward or backward. */
    private static final int OPERATIONS = 60;

    private final int columns;
    private final double epsilon;
    private final Supplier<Kernels> chosen;

    // Of the last batch
    private Parallel parallel;
    private int helpers;
    private Panel[] panels = {};

    /** For batches of so many columns. */
    public Normalization(int columns, double epsilon) {
        this(columns, epsilon, KernelChoice::chosen);
    }

    Normalization(int columns, double epsilon, Supplier<Kernels> chosen) {
        this.columns = columns;
        this.epsilon = epsilon;
        this.chosen = chosen;
    }

    /**
     * Normalizes the first rows of h into y, which is at least {@code least}. If {@link #overflowingColumn} names a
     * column then, y is meaningless.
     *
     * @param rows at least 2
     */
    public void forward(int rows, double[] h, double[] gamma, double[] beta, double least, double[] y) {
        prepare(rows);
        forEach(panel -> panel.forward(rows, h, gamma, beta, least, y));
    }

    /** Makes panels, unless there are as many. */
    private void prepare(int rows) {
        Kernels kernels = chosen.get();
        parallel = kernels.parallel();
        helpers = parallel.helpers((double) OPERATIONS * rows * columns);
        int width = helpers > 0 ? NARROW_PANEL : PANEL;
        int group = Math.max(LINE, kernels.lanes());
        int count = (columns + width - 1) / width;
        if (panels.length == count) {
            return;
        }
        Panel[] made = new Panel[count];
        int from = 0;
        for (int p = 0; p < count; p++) {
            int to = p == count - 1 ? columns : (int) ((long) columns * (p + 1) / count) / group * group;
            made[p] = new Panel(kernels, epsilon, from, to - from, columns);
            from = to;
        }
        panels = made; // all of them, or, where memory runs out, those before
    }

    private void forEach(Consumer<Panel> work) {
        Panel[] panels = this.panels;
        parallel.run(helpers, panels.length, p -> work.accept(panels[p]));
    }

    /** dγ, dβ and dh, for h and γ of the last {@link #forward}. */
    public void backward(double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta, double[] dh) {
        forEach(panel -> {
            panel.backwardParameters(h, gamma, dy, dgamma, dbeta);
            panel.backwardInput(h, dy, dh);
        });
    }

    /** As {@link #backward}, without dh. */
    public void backwardParameters(double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta) {
        forEach(panel -> panel.backwardParameters(h, gamma, dy, dgamma, dbeta));
    }

    /** The first column whose unbiased variance is beyond the range of double, or not a number; −1 if there is none. */
    public int overflowingColumn() {
        for (Panel panel : panels) {
            int column = panel.overflowingColumn();
            if (column >= 0) {
                return column;
            }
        }
        return -1;
    }

    /** The running statistics (25), from the old ones, for the mean and the unbiased variance of the batch. */
    public void moveRunning(
            double momentum, double[] oldMean, double[] oldVariance, double[] newMean, double[] newVariance) {
        for (Panel panel : panels) {
            panel.moveRunning(momentum, oldMean, oldVariance, newMean, newVariance);
        }
    }
}
