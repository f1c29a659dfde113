package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** The rules are tested through {@code Optimizer}. */
final class UpdatesTest {
    @Test
    void flushSubnormal_anyNumbers_onlySubnormalOnesBecomeZero() {
        double normal = Double.MIN_NORMAL;
        double[] a = {normal, -normal, Math.nextDown(normal), -Double.MIN_VALUE, 1, Double.NaN};

        Updates.flushSubnormal(a);

        assertThat(a).isEqualTo(new double[] {normal, -normal, 0, 0, 1, Double.NaN});
    }
}
