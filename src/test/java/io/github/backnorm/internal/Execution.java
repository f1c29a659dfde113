package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.internal.threads.Parallel;
import java.util.List;

/** The build runs the tests in several executions. This is the one that runs now. */
public final class Execution {
    private Execution() {}

    /** The kernels that this JVM has chosen, and why. */
    public static String chosen() {
        return KernelChoice.make(Parallel::ofThisJvm).toString();
    }

    static String name() {
        return System.getProperty("backnorm.test.execution");
    }

    /** The kernels that this execution tests: scalar ones, and SIMD ones if it has the vector module. */
    static List<Kernels> kernels() {
        return kernels(Parallel.ofThisJvm());
    }

    /** These kernels, with the given threads. */
    static List<Kernels> kernels(Parallel parallel) {
        Kernels scalar = new ScalarKernels(parallel);
        if (name().equals("plain")) {
            return List.of(scalar);
        }
        Kernels vector = KernelChoice.of("vector", () -> parallel).kernels();
        boolean x86 = List.of("amd64", "x86_64").contains(System.getProperty("os.arch"));
        assertThat(vector.lanes()).as("lanes in execution %s", name()).satisfies(lanes -> {
            switch (name()) {
                case "vector" -> assertThat(lanes).isGreaterThanOrEqualTo(2);
                case "vector-4-lanes" -> assertThat(lanes == 4 || !x86).isTrue();
                case "vector-2-lanes" -> assertThat(lanes).isEqualTo(2);
                default -> throw new AssertionError(name());
            }
        });
        return List.of(scalar, vector);
    }
}
