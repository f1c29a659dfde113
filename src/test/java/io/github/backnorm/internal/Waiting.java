package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.fail;

import java.util.function.BooleanSupplier;

/** Waits in a loop. Tests wait by it alone, so that what never comes fails a test and does not hang it. */
public final class Waiting {
    /** Shorter than the time limits of the tests, so that a loop ends before its test does. */
    public static final int SECONDS = 50;

    private Waiting() {}

    /** Asks again and again until the condition holds. Fails if it does not hold in time. */
    public static void until(BooleanSupplier condition) {
        long begin = System.nanoTime();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - begin > SECONDS * 1_000_000_000L) {
                fail("waited %d s in vain", SECONDS);
            }
            Thread.onSpinWait();
        }
    }
}
