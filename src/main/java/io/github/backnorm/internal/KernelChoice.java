package io.github.backnorm.internal;

import io.github.backnorm.internal.threads.Parallel;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * The choice between the {@link ScalarKernels} and the SIMD kernels, which falls back to scalar.
 *
 * <p>The system property {@code backnorm.kernels} is {@code auto} (the default), {@code scalar} or {@code vector}. SIMD
 * kernels need the module jdk.incubator.vector, which is present only if the JVM was started with {@code
 * --add-modules jdk.incubator.vector}. They need HotSpot with its C2 compiler: in the interpreter, under C1 and under
 * compilers that come through JVMCI, each vector is an object. And they need at least two lanes.
 *
 * <p>Their class is loaded by name after these checks. Only classes named {@code Vector…} use the module, so the
 * library runs without it, and the library's own module need not require it.
 */
final class KernelChoice {
    private static final String PROPERTY = "backnorm.kernels";
    private static final String MODULE = "jdk.incubator.vector";

    /** Holds the choice for this JVM. A class of its own reads the property only when kernels are first needed. */
    private static final class Chosen {
        static final KernelChoice CHOICE = make(Parallel::ofThisJvm);
    }

    private final Optional<Kernels> kernels;
    private final String reason;

    private KernelChoice(Optional<Kernels> kernels, String reason) {
        this.kernels = kernels;
        this.reason = reason;
    }

    private static KernelChoice of(Kernels kernels, String reason) {
        return new KernelChoice(Optional.of(kernels), reason);
    }

    private static KernelChoice none(String reason) {
        return new KernelChoice(Optional.empty(), reason);
    }

    /**
     * The kernels of this JVM, with its threads.
     *
     * @throws IllegalStateException if a system property has no valid value or asks for kernels that are unavailable
     */
    static Kernels chosen() {
        return Chosen.CHOICE.kernels();
    }

    /** Makes the choice that the system property asks for, and logs it. */
    static KernelChoice make(Supplier<Parallel> threads) {
        Logger logger = System.getLogger("io.github.backnorm");
        KernelChoice choice = of(System.getProperty(PROPERTY, "auto"), threads);
        logger.log(Level.DEBUG, () -> "Backnorm: " + choice);
        if (vmOption("UseFMA").equals("false")) {
            logger.log(
                    Level.WARNING,
                    "Backnorm: this JVM has no hardware for fused multiply-adds; results are the same, but everything"
                            + " is thousands of times slower");
        }
        return choice;
    }

    /** The choice for a value of the system property. {@code threads} may throw an IllegalStateException. */
    static KernelChoice of(String wanted, Supplier<Parallel> threads) {
        if (!List.of("auto", "scalar", "vector").contains(wanted)) {
            return none(PROPERTY + " is " + wanted + ", expected auto, scalar or vector");
        }
        try {
            return of(wanted, threads.get());
        } catch (IllegalStateException noThreads) {
            return none(noThreads.getMessage());
        }
    }

    private static KernelChoice of(String wanted, Parallel parallel) {
        if (wanted.equals("scalar")) {
            return of(new ScalarKernels(parallel), PROPERTY + " is scalar");
        }
        KernelChoice vector = vector(parallel);
        if (vector.kernels.isPresent()) {
            return vector;
        }
        return wanted.equals("auto")
                ? of(new ScalarKernels(parallel), vector.reason)
                : none(PROPERTY + " is vector, but these kernels are not available: " + vector.reason);
    }

    /** The kernels; an IllegalStateException with the reason if there are none. */
    Kernels kernels() {
        return kernels.orElseThrow(() -> new IllegalStateException(reason));
    }

    private static KernelChoice vector(Parallel parallel) {
        ModuleLayer own = KernelChoice.class.getModule().getLayer();
        Optional<Module> module = (own == null ? ModuleLayer.boot() : own).findModule(MODULE);
        if (module.isEmpty()) {
            return none("Java runs without --add-modules " + MODULE);
        }
        String obstacle = obstacle(
                System.getProperty("java.vm.name", ""),
                System.getProperty("java.vm.info", ""),
                vmOption("TieredStopAtLevel"),
                vmOption("UseJVMCICompiler"));
        if (!obstacle.isEmpty()) {
            return none(obstacle);
        }
        KernelChoice.class.getModule().addReads(module.get());
        try {
            Kernels vector = Class.forName("io.github.backnorm.internal.VectorKernels")
                    .asSubclass(Kernels.class)
                    .getDeclaredConstructor(Parallel.class)
                    .newInstance(parallel);
            return vector.lanes() < 2
                    ? none("this machine has no SIMD lanes for doubles")
                    : of(vector, MODULE + " is there");
        } catch (ReflectiveOperationException | LinkageError unusable) {
            return none("this version of " + MODULE + " is not usable: " + unusable);
        }
    }

    /** Why SIMD kernels would be slow on such a JVM; empty if they would not. */
    static String obstacle(String vmName, String vmInfo, String lastTier, String jvmciCompiler) {
        if (!vmName.contains("HotSpot") && !vmName.contains("OpenJDK")) {
            return "the JVM is " + vmName + ", not HotSpot";
        }
        if (!vmName.contains("Server")) {
            return "the JVM has no C2 compiler (" + vmName + ")";
        }
        if (vmInfo.contains("interpreted") || vmInfo.contains("emulated-client")) {
            return "the JVM runs without its C2 compiler (" + vmInfo + ")";
        }
        if (!lastTier.isEmpty() && !lastTier.equals("4")) {
            return "the JVM runs without its C2 compiler (TieredStopAtLevel=" + lastTier + ")";
        }
        return jvmciCompiler.equals("true") ? "the JVM's compiler is not C2 (UseJVMCICompiler)" : "";
    }

    /** The value of a HotSpot option; empty if there is none, or no management module, which is optional, to ask. */
    private static String vmOption(String name) {
        try {
            Class<?> bean = Class.forName("com.sun.management.HotSpotDiagnosticMXBean");
            Object diagnostic = Class.forName("java.lang.management.ManagementFactory")
                    .getMethod("getPlatformMXBean", Class.class)
                    .invoke(null, bean);
            Object option = bean.getMethod("getVMOption", String.class).invoke(diagnostic, name);
            return (String) option.getClass().getMethod("getValue").invoke(option);
        } catch (ReflectiveOperationException | RuntimeException unknown) {
            return "";
        }
    }

    /** {@return "vector kernels, 8 lanes" or "scalar kernels", and why} */
    @Override
    public String toString() {
        return kernels.map(Kernels::toString).orElse("no kernels") + " (" + reason + ")";
    }
}
