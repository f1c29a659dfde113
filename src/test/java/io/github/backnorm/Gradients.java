package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

/** Compares gradients of layers with centered differences, by {@link GradientCheck}. */
final class Gradients {
    private static final double TOLERANCE = 1e-5; // GradientCheck says that right gradients have errors below it
    private static final int ENTRIES_PER_SKIPPED = 20;

    private Gradients() {}

    /** Checks all gradients of the loss {@code ½·Σ (y − target)²}. Few entries may be skipped. */
    static void assertAgreeWithDifferences(String as, Layer layer, Matrix x, Matrix target) {
        GradientCheck check = GradientCheck.run(
                layer, x, y -> y.minus(target).hadamard(y.minus(target)).sum() / 2, y -> y.minus(target));
        assertThat(check.worstError()).as("%s: %s", as, check).isBetween(0.0, TOLERANCE);
        assertThat(check.skipped()).as("%s: %s", as, check).isLessThanOrEqualTo(check.entries() / ENTRIES_PER_SKIPPED);
    }
}
