package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class MainTest {
    @Test
    void main_onClassPath_printsVersionKernelsAndThreads() {
        assertThat(ChildJvm.run(Main.class, "-Dbacknorm.threads=1").lines())
                .containsExactly(
                        "Backnorm development",
                        "scalar kernels (Java runs without --add-modules jdk.incubator.vector)",
                        "1 thread");
    }

    @Test
    void main_propertiesMakeNoSense_printsWhatIsExpected() {
        assertThat(ChildJvm.run(Main.class, "-Dbacknorm.kernels=fast", "-Dbacknorm.threads=0")
                        .lines())
                .containsExactly(
                        "Backnorm development",
                        "no kernels (backnorm.kernels is fast, expected auto, scalar or vector)",
                        "no threads (backnorm.threads is 0, expected a number from 1 on)");
    }

    @Test
    void main_onlyThreadsMakeNoSense_printsKernels() {
        assertThat(ChildJvm.run(Main.class, "-Dbacknorm.kernels=scalar", "-Dbacknorm.threads=many")
                        .lines())
                .containsExactly(
                        "Backnorm development",
                        "scalar kernels (backnorm.kernels is scalar)",
                        "no threads (backnorm.threads is many, expected a number from 1 on)");
    }

    @Test
    void main_withVectorModule_printsLanes() {
        assertThat(ChildJvm.run(Main.class, "--add-modules=jdk.incubator.vector", "-XX:MaxVectorSize=16")
                        .lines())
                .hasSize(3)
                .contains("vector kernels, 2 lanes (jdk.incubator.vector is there)");
    }

    @Test
    void main_onModulePath_findsVectorModule() {
        assertThat(ChildJvm.start(List.of(
                                "--add-modules=jdk.incubator.vector",
                                "-Djava.util.concurrent.ForkJoinPool.common.parallelism=3",
                                "-Dbacknorm.threads=3",
                                "--module-path=target/classes",
                                "--module=io.github.backnorm/io.github.backnorm.internal.Main"))
                        .lines())
                .satisfiesExactly(
                        version -> assertThat(version).isEqualTo("Backnorm development"),
                        kernels -> assertThat(kernels)
                                .matches("vector kernels, [0-9]+ lanes \\(jdk.incubator.vector is there\\)"),
                        threads -> assertThat(threads).isEqualTo("3 threads"));
    }
}
