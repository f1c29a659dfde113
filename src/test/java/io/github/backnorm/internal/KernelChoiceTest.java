package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.backnorm.Matrix;
import io.github.backnorm.internal.threads.Parallel;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class KernelChoiceTest {
    private static final String MODULE = "--add-modules=jdk.incubator.vector";

    private static KernelChoice of(String wanted) {
        return KernelChoice.of(wanted, () -> new Parallel(1, 1));
    }

    @Test
    @Tag("bits")
    void chosen_inExecution_isAsItsNameSays() {
        List<Kernels> kernels = Execution.kernels();
        Kernels best = kernels.get(kernels.size() - 1);
        assertThat(KernelChoice.chosen()).hasSameClassAs(best);
        assertThat(KernelChoice.chosen().lanes()).isEqualTo(best.lanes());
        assertThat(best.lanes() > 1).isEqualTo(!Execution.name().equals("plain"));
        assertThat(KernelChoice.chosen()).hasToString(best.toString());
    }

    @Test
    void of_scalar_isScalarInEveryExecution() {
        KernelChoice choice = of("scalar");
        assertThat(choice.kernels()).isInstanceOf(ScalarKernels.class);
        assertThat(choice).hasToString("scalar kernels (backnorm.kernels is scalar)");
    }

    @Test
    void of_vector_isRefusedWithReasonWhereThereIsNoModule() {
        KernelChoice choice = of("vector");
        if (Execution.name().equals("plain")) {
            String reason = "backnorm.kernels is vector, but these kernels are not available: Java runs without"
                    + " --add-modules jdk.incubator.vector";
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(choice::kernels)
                        .isExactlyInstanceOf(IllegalStateException.class)
                        .hasMessage(reason);
            }
            assertThat(choice).hasToString("no kernels (" + reason + ")");
        } else {
            assertThat(choice.kernels().lanes()).isGreaterThan(1);
            assertThat(choice)
                    .hasToString(
                            "vector kernels, " + choice.kernels().lanes() + " lanes (jdk.incubator.vector is there)");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "Vector", "simd"})
    void of_nonsense_isRefusedWithWhatIsExpected(String wanted) {
        assertThatThrownBy(of(wanted)::kernels)
                .isExactlyInstanceOf(IllegalStateException.class)
                .hasMessage("backnorm.kernels is " + wanted + ", expected auto, scalar or vector");
    }

    @Test
    void chosen_propertyChangedLater_isReadOnce() {
        Kernels before = KernelChoice.chosen();
        String old = System.setProperty("backnorm.kernels", "nonsense");
        try {
            assertThat(KernelChoice.chosen()).isSameAs(before);
        } finally {
            if (old == null) {
                System.clearProperty("backnorm.kernels");
            } else {
                System.setProperty("backnorm.kernels", old);
            }
        }
    }

    @ParameterizedTest
    @CsvSource(quoteCharacter = '"', textBlock = """
            OpenJDK 64-Bit Server VM, "mixed mode, sharing", 4, false, ""
            OpenJDK 64-Bit Server VM, mixed mode, "", "", ""
            Java HotSpot(TM) 64-Bit Server VM, compiled mode, 4, false, ""
            Eclipse OpenJ9 VM, JRE 17, "", "", "the JVM is Eclipse OpenJ9 VM, not HotSpot"
            "", "", "", "", "the JVM is , not HotSpot"
            OpenJDK 64-Bit Minimal VM, mixed mode, "", "", "the JVM has no C2 compiler (OpenJDK 64-Bit Minimal VM)"
            OpenJDK Client VM, mixed mode, "", "", "the JVM has no C2 compiler (OpenJDK Client VM)"
            OpenJDK 64-Bit Server VM, interpreted mode, 4, false, "%s (interpreted mode)"
            OpenJDK 64-Bit Server VM, "mixed mode, emulated-client", 1, false, "%s (mixed mode, emulated-client)"
            OpenJDK 64-Bit Server VM, mixed mode, 3, false, "%s (TieredStopAtLevel=3)"
            OpenJDK 64-Bit Server VM, mixed mode, 4, true, "the JVM's compiler is not C2 (UseJVMCICompiler)"
            """)
    void obstacle_kindOfJvm_isTold(String name, String info, String lastTier, String jvmciCompiler, String obstacle) {
        assertThat(KernelChoice.obstacle(name, info, lastTier, jvmciCompiler))
                .isEqualTo(obstacle.formatted("the JVM runs without its C2 compiler"));
    }

    @ParameterizedTest
    @CsvSource({
        "-Xint, the JVM runs without its C2 compiler (interpreted mode",
        "-XX:TieredStopAtLevel=1, 'the JVM runs without its C2 compiler (mixed mode, emulated-client'",
        "-XX:TieredStopAtLevel=3, the JVM runs without its C2 compiler (TieredStopAtLevel=3)",
        "-XX:MaxVectorSize=8, this machine has no SIMD lanes for doubles",
        "-Dbacknorm.kernels=scalar, backnorm.kernels is scalar"
    })
    void make_jvmThatIsNoneForVectors_fallsBackToScalar(String option, String reason) {
        assertThat(ChildJvm.run(Main.class, MODULE, option).lines().get(1)).startsWith("scalar kernels (" + reason);
    }

    @Test
    void make_noHardwareFma_warns() {
        assertThat(ChildJvm.run(Main.class, "-XX:+IgnoreUnrecognizedVMOptions", "-XX:-UseFMA")
                        .output())
                .contains("WARNING: Backnorm: this JVM has no hardware for fused multiply-adds; results are the same,"
                        + " but everything is thousands of times slower");
    }

    @Test
    void make_anyChoice_isOneDebugLine() {
        Logger logger = Logger.getLogger("io.github.backnorm");
        List<LogRecord> records = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                records.add(record);
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        logger.addHandler(handler);
        logger.setLevel(Level.ALL);
        logger.setUseParentHandlers(false);
        try {
            KernelChoice choice = KernelChoice.make(Parallel::ofThisJvm);
            assertThat(records).hasSize(1);
            assertThat(records.get(0).getLevel()).isEqualTo(Level.FINE); // System.Logger's DEBUG
            assertThat(records.get(0).getMessage()).isEqualTo("Backnorm: " + choice);
        } finally {
            logger.removeHandler(handler);
            logger.setLevel(null);
            logger.setUseParentHandlers(true);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "-Dbacknorm.kernels=vector, 'backnorm.kernels is vector, but these kernels are not available: Java runs without"
                + " --add-modules jdk.incubator.vector'",
        "-Dbacknorm.kernels=fast, 'backnorm.kernels is fast, expected auto, scalar or vector'",
        "-Dbacknorm.threads=many, 'backnorm.threads is many, expected a number from 1 on'",
        "-Dbacknorm.threads=0, 'backnorm.threads is 0, expected a number from 1 on'"
    })
    void times_propertyRefused_throwsIllegalStateEachTime(String option, String refusal) {
        String line = "java.lang.IllegalStateException: " + refusal;
        assertThat(ChildJvm.run(Caller.class, option).lines()).containsExactly(line, line);
    }

    /** Multiplies a row and 20, and prints what it gets for it. */
    static final class Caller {
        public static void main(String[] arguments) {
            Matrix square = Matrix.zeros(20, 20);
            for (int rows : new int[] {1, 20}) {
                try {
                    System.out.println(Matrix.zeros(rows, 20).times(square));
                } catch (RuntimeException | Error thrown) {
                    System.out.println(thrown);
                }
            }
        }
    }
}
