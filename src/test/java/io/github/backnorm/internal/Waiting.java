package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.fail;

import java.util.function.BooleanSupplier;

/** The only way in which a test waits for something in a loop: what does not come fails the test. */
public final class Waiting {
    /** Shorter than the time limits of the tests, so that a loop ends before its test does. */
    static final int SECONDS = 50;

    private Waiting() {}

    /** Asks again and again until the condition holds, and fails if it does not in time. */
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
