package io.github.backnorm.internal;

import io.github.backnorm.internal.threads.Parallel;

/**
 * The main class of the jar: prints the version, the kernels with the reason for their choice, and the number of
 * threads. Nothing else in the library prints.
 */
final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        String version = Main.class.getPackage().getImplementationVersion();
        System.out.println("Backnorm " + (version == null ? "development" : version));
        System.out.println(KernelChoice.make(() -> new Parallel(1, 1))); // threads have a line of their own
        System.out.println(threads());
    }

    private static String threads() {
        try {
            int threads = Parallel.ofThisJvm().threads();
            return threads == 1 ? "1 thread" : threads + " threads";
        } catch (IllegalStateException refusal) {
            return "no threads (" + refusal.getMessage() + ")";
        }
    }
}
