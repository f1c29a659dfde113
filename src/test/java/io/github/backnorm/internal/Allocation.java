package io.github.backnorm.internal;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/** What code allocates on this thread once it is compiled. */
public final class Allocation {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final int RUNS = 20;
    private static final long PATIENCE = 60_000_000_000L; // ns

    private Allocation() {}

    /** Bytes that this thread has allocated so far. */
    public static long now() {
        return THREADS.getCurrentThreadAllocatedBytes();
    }

    /** Bytes a run, after as many runs as it takes to come down to so many; what it was last if that is in vain. */
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
