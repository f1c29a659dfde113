package io.github.backnorm.internal;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/** Measures what code allocates on this thread once it is compiled. */
public final class Allocation {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final int RUNS = 20;
    private static final long PATIENCE = 60_000_000_000L; // ns

    private Allocation() {}

    /** Bytes that this thread has allocated so far. */
    public static long now() {
        return THREADS.getCurrentThreadAllocatedBytes();
    }

    /**
     * The bytes that a run of the code allocates. The code is run until it allocates at most {@code most}, or until the
     * time is up.
     */
    public static long ofCompiled(Runnable code, long most) {
        long end = System.nanoTime() + PATIENCE;
        long bytes = Long.MAX_VALUE;
        while (bytes > most && System.nanoTime() < end) {
            long before = now();
            for (int i = 0; i < RUNS; i++) {
                code.run();
            }
            bytes = (now() - before) / RUNS;
        }
        return bytes;
    }
}
