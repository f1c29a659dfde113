package io.github.backnorm.benchmarks;

import io.github.backnorm.Precision;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import org.openjdk.jmh.util.Statistics;

/**
 * A column of a table: a library and how it runs.
 *
 * @param name the column's title
 * @param method the benchmark's method
 * @param type PyTorch's floating-point type, else empty
 * @param precision Backnorm's; of a peer, that which it is compared with
 * @param flags what the JVM needs beyond {@link #FLAGS}; the text %d becomes the number of threads
 */
record Contender(String name, String method, String type, String precision, List<String> flags) {
    /** The collector that a JVM of two processors takes, on one too; memory that the system has handed out before. */
    static final List<String> FLAGS = List.of("-XX:+UseG1GC", "-Xms1g", "-Xmx1g", "-XX:+AlwaysPreTouch");

    private static final String VECTOR_MODULE = "--add-modules=jdk.incubator.vector";

    static final Contender SCALAR = backnorm("scalar", Precision.DOUBLE);
    static final Contender VECTOR = backnorm("vector", Precision.DOUBLE, VECTOR_MODULE);
    static final Contender SCALAR_SINGLE = backnorm("scalar", Precision.SINGLE);
    static final Contender VECTOR_SINGLE = backnorm("vector", Precision.SINGLE, VECTOR_MODULE);
    static final Contender PYTORCH_FLOAT64 = pyTorch("float64");
    static final Contender PYTORCH_FLOAT32 = pyTorch("float32");
    static final Contender EJML = new Contender("EJML", "ejml", "", "DOUBLE", List.of());

    /** What the last JVM printed, warnings of incubating modules above all. */
    private static final String LOG = Path.of("target", "jmh.log").toString();

    private static final TimeValue ITERATION = TimeValue.milliseconds(400);

    /** How to measure. */
    record Setting(Mode mode, int threads, int warmupIterations, int iterations) {}

    private static Contender backnorm(String kernels, Precision precision, String... flags) {
        List<String> all = new ArrayList<>(List.of(flags));
        all.add("-Dbacknorm.kernels=" + kernels);
        all.add("-Dbacknorm.threads=%d");
        String name = precision == Precision.SINGLE ? kernels + " single" : kernels;
        return new Contender(name, "backnorm", "", precision.name(), all);
    }

    private static Contender pyTorch(String type) {
        return new Contender(
                "PyTorch " + type,
                "pyTorch",
                type,
                "DOUBLE",
                List.of(
                        "-Dai.djl.pytorch.num_threads=%d",
                        "-Dai.djl.pytorch.num_interop_threads=1",
                        // All of PyTorch comes from Maven; it is unpacked once.
                        "-Dai.djl.offline=true",
                        "-DDJL_CACHE_DIR=" + Path.of("target", "djl").toAbsolutePath(),
                        "--enable-native-access=ALL-UNNAMED"));
    }

    /** Runs one row's benchmark in a new JVM; returns the iterations' means or the samples, in seconds. */
    Statistics measure(Class<?> benchmark, String row, Setting setting) throws RunnerException {
        List<String> jvmArgs = new ArrayList<>(FLAGS);
        flags.forEach(flag -> jvmArgs.add(flag.replace("%d", String.valueOf(setting.threads))));
        ChainedOptionsBuilder options = new OptionsBuilder()
                .include("^" + Pattern.quote(benchmark.getName() + "." + method) + "$")
                .param("row", row)
                .param("precision", precision)
                .mode(setting.mode)
                .timeUnit(TimeUnit.SECONDS)
                .forks(1)
                .jvmArgs(jvmArgs.toArray(String[]::new))
                .warmupIterations(setting.warmupIterations)
                .warmupTime(ITERATION)
                .measurementIterations(setting.iterations)
                .measurementTime(ITERATION)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .output(LOG);
        if (!type.isEmpty()) {
            options.param("type", type);
        }
        return new Runner(options.build()).runSingle().getPrimaryResult().getStatistics();
    }
}
