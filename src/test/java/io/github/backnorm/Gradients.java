package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

/** Gradients of layers, held against centered differences by {@link GradientCheck}. */
final class Gradients {
    private static final double TOLERANCE = 1e-5; // what GradientCheck says of right gradients
    private static final int ENTRIES_PER_SKIPPED = 20;

    private Gradients() {}

    /** For the loss {@code ½·Σ (y − target)²}. */
    static void assertAgreeWithDifferences(String as, Layer layer, Matrix x, Matrix target) {
        GradientCheck check = GradientCheck.run(
                layer, x, y -> y.minus(target).hadamard(y.minus(target)).sum() / 2, y -> y.minus(target));
        assertThat(check.worstError()).as("%s: %s", as, check).isBetween(0.0, TOLERANCE);
        assertThat(check.skipped()).as("%s: %s", as, check).isLessThanOrEqualTo(check.entries() / ENTRIES_PER_SKIPPED);
    }
}
