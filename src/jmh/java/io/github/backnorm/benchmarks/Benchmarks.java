package io.github.backnorm.benchmarks;

import io.github.backnorm.benchmarks.Contender.Setting;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.util.ListStatistics;
import org.openjdk.jmh.util.Statistics;

/**
 * Runs the benchmarks on the JDK that Maven runs on and prints their tables, in Markdown:
 *
 * <pre>{@code
 * mvn -q -Pjmh test-compile exec:exec
 * mvn -q -Pjmh test-compile exec:exec -Dbench.args="quick products layers steps inference threads contention"
 * }</pre>
 *
 * <p>Arguments: the groups to run (all), and {@code quick} for a few short iterations, enough to see that everything
 * works. In tables of one thread the collector and the compiler may still use other processors: {@code taskset -c 1}
 * in front of Maven makes it one processor for all, and leaves out {@code threads} and {@code contention}.
 *
 * <p>A time is the median over the iterations of an iteration's mean, ± half their interquartile range: garbage
 * collection counts, and an iteration that another process disturbs does not move the median. The contenders of a row
 * take turns, each time in a new JVM, so that a slow minute of the machine hits all of them.
 */
public final class Benchmarks {
    private static final List<Contender> PEERS = List.of(Contender.PYTORCH_FLOAT64, Contender.PYTORCH_FLOAT32);
    private static final List<Contender> IN_DOUBLE = List.of(Contender.SCALAR, Contender.VECTOR);
    private static final List<Contender> IN_BOTH =
            List.of(Contender.SCALAR, Contender.VECTOR, Contender.SCALAR_SINGLE, Contender.VECTOR_SINGLE);
    private static final List<Contender> WITH_EJML =
            Stream.concat(PEERS.stream(), Stream.of(Contender.EJML)).toList();

    private static final List<String> LARGE_PRODUCTS = List.of("512x512x512", "1024x1024x1024");
    private static final String CONTENDED_STEP = "batch 256 of 512-512-512-10";

    /** Iterations that do not count: on one processor, C2 compiles a small step's last SIMD kernel after 7 to 11 s. */
    private static final int WARMUP = 28;

    private final boolean quick;
    private final int processors = Runtime.getRuntime().availableProcessors();

    private Benchmarks(boolean quick) {
        this.quick = quick;
    }

    private enum Group {
        PRODUCTS,
        LAYERS,
        STEPS,
        INFERENCE,
        THREADS,
        CONTENTION
    }

    public static void main(String[] args) throws IOException, RunnerException {
        List<String> arguments = new ArrayList<>();
        for (String arg : args) {
            arguments.add(arg.toUpperCase(Locale.ROOT));
        }
        boolean quick = arguments.remove("QUICK");
        List<Group> groups = Stream.of(Group.values())
                .filter(group -> arguments.isEmpty() || arguments.contains(group.name()))
                .toList();
        if (groups.size() < arguments.size()) {
            System.err.println("Benchmarks: arguments are " + Arrays.toString(args) + ", expected some of quick and "
                    + Arrays.toString(Group.values()).toLowerCase(Locale.ROOT));
            System.exit(1);
        }
        Benchmarks benchmarks = new Benchmarks(quick);
        benchmarks.printHead();
        for (Group group : groups) {
            benchmarks.run(group);
        }
    }

    private void run(Group group) throws IOException, RunnerException {
        if (group.compareTo(Group.THREADS) >= 0 && processors == 1) {
            System.out.printf("%nLeft out for want of a second processor: %s%n", group);
            return;
        }
        switch (group) {
            case PRODUCTS ->
                printTable("Products A·B, m×k×n", Products.class, rows(Products.class), IN_BOTH, WITH_EJML, 1);
            case LAYERS -> printTable("Layers", Layers.class, rows(Layers.class), IN_DOUBLE, PEERS, 1);
            case STEPS -> printTable("Training steps", Steps.class, rows(Steps.class), IN_BOTH, PEERS, 1);
            case INFERENCE -> printTable("One row inferred", Inference.class, rows(Inference.class), IN_BOTH, PEERS, 1);
            case THREADS -> {
                printTable("Products A·B, m×k×n", Products.class, LARGE_PRODUCTS, IN_BOTH, PEERS, processors);
                printTable("Training steps", Steps.class, rows(Steps.class), IN_BOTH, PEERS, processors);
            }
            case CONTENTION -> printContention();
        }
    }

    private static List<String> rows(Class<?> benchmark) {
        try {
            return List.of(benchmark.getField("row").getAnnotation(Param.class).value());
        } catch (NoSuchFieldException e) {
            throw new IllegalArgumentException(e);
        }
    }

    private void printHead() throws IOException {
        System.out.printf(
                "%s, processors available: %d; %s %s; flags: %s, vector with %s; peers: %s%n",
                machine(),
                processors,
                System.getProperty("java.vm.name"),
                System.getProperty("java.runtime.version"),
                String.join(" ", Contender.FLAGS),
                Contender.VECTOR.flags().get(0),
                Stream.of("ejml-ddense", "pytorch-native-cpu", "pytorch-engine")
                        .map(Benchmarks::jar)
                        .collect(Collectors.joining(", ")));
        System.out.printf(
                "%nTime: median of the iterations' means ± half their interquartile range, %s.%n",
                quick ? "of a quick run that proves nothing" : "over two JVMs");
    }

    private static String machine() throws IOException {
        String system = System.getProperty("os.name") + " " + System.getProperty("os.arch");
        return (find("^model name\\s*: (.*)$", Path.of("/proc/cpuinfo")) + " " + system).strip();
    }

    /** The jar of that name on the class path, which has its version at the end. */
    private static String jar(String name) {
        return Stream.of(System.getProperty("java.class.path").split(Pattern.quote(File.pathSeparator), -1))
                .map(element -> Path.of(element).getFileName().toString())
                .filter(file -> file.startsWith(name))
                .findFirst()
                .orElseThrow()
                .replace(".jar", "");
    }

    private void printTable(
            String title,
            Class<?> benchmark,
            List<String> rows,
            List<Contender> ours,
            List<Contender> others,
            int threads)
            throws RunnerException {
        System.out.printf("%n### %s; threads: %d%n%n", title, threads);
        List<Contender> contenders =
                Stream.concat(ours.stream(), others.stream()).toList();
        String names = contenders.stream().map(Contender::name).collect(Collectors.joining(" | "));
        String ratios = PEERS.stream()
                .flatMap(peer -> ours.stream().map(own -> " | " + own.name() + " / " + peer.name()))
                .collect(Collectors.joining());
        System.out.println("| | " + names + ratios + " |");
        System.out.println("|---|" + "---:|".repeat(contenders.size() + PEERS.size() * ours.size()));
        Setting setting = new Setting(Mode.AverageTime, threads, WARMUP, quick ? 3 : 4);
        for (String row : rows) {
            List<ListStatistics> times = new ArrayList<>();
            contenders.forEach(contender -> times.add(new ListStatistics()));
            for (int round = 0; round < (quick ? 1 : 2); round++) {
                for (int i = 0; i < contenders.size(); i++) {
                    ListStatistics time = times.get(i);
                    Statistics more = contenders.get(i).measure(benchmark, row, setting);
                    more.getRawData().forEachRemaining(mean -> time.addValue(mean.getKey()));
                }
            }
            System.out.println("| " + row + " "
                    + cells(times, ours.size(), benchmark == Products.class ? Products.operations(row) : 0));
        }
    }

    /** The cells of so many contenders of ours, of the {@link #PEERS} after them, and of others. */
    private static String cells(List<ListStatistics> times, int ours, double operations) {
        StringBuilder cells = new StringBuilder("| ");
        for (Statistics time : times) {
            double median = time.getPercentile(50);
            double spread = (time.getPercentile(75) - time.getPercentile(25)) / 2;
            cells.append(time(median)).append(format(" ± %.0f %%", 100 * spread / median));
            cells.append(operations > 0 ? format(", %.1f GFLOP/s | ", operations / median / 1e9) : " | ");
        }
        for (int peer = ours; peer < ours + PEERS.size(); peer++) {
            for (int own = 0; own < ours; own++) {
                double ratio =
                        times.get(own).getPercentile(50) / times.get(peer).getPercentile(50);
                cells.append(format("%.2f | ", ratio));
            }
        }
        return cells.toString().strip();
    }

    /** The times of single steps, while one processor is free and while another process never leaves it. */
    private void printContention() throws IOException, RunnerException {
        System.out.printf("%n### One processor of %d taken by another process: %s%n%n", processors, CONTENDED_STEP);
        System.out.println("| | threads | median | 99th percentile | median, taken | 99th percentile, taken |");
        System.out.println("|---|---:|---:|---:|---:|---:|");
        for (int threads : new int[] {processors, 1}) {
            Setting setting = new Setting(Mode.SampleTime, threads, WARMUP, quick ? 4 : 24);
            for (Contender contender : List.of(Contender.VECTOR, Contender.PYTORCH_FLOAT64)) {
                String free = percentiles(contender, setting);
                Process taker = takeProcessor();
                String taken;
                try {
                    taken = percentiles(contender, setting);
                } finally {
                    taker.destroyForcibly();
                }
                System.out.println("| " + contender.name() + " | " + threads + free + taken + " |");
            }
        }
    }

    private static String percentiles(Contender contender, Setting setting) throws RunnerException {
        Statistics samples = contender.measure(Steps.class, CONTENDED_STEP, setting);
        return " | " + time(samples.getPercentile(50)) + " | " + time(samples.getPercentile(99));
    }

    /** Starts a process that keeps the last processor this one may use busy for as long as this one lives. */
    private static Process takeProcessor() throws IOException {
        String processor = find("^Cpus_allowed_list:.*?(\\d+)$", Path.of("/proc/self/status"));
        return new ProcessBuilder("taskset", "-c", processor, "sh", "-c", "while kill -0 $PPID; do :; done")
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    /** What a file of Linux' says, or nothing on other systems. */
    private static String find(String pattern, Path file) throws IOException {
        if (!Files.exists(file)) {
            return "";
        }
        Matcher matcher = Pattern.compile(pattern, Pattern.MULTILINE).matcher(Files.readString(file));
        return matcher.find() ? matcher.group(1) : "";
    }

    private static String time(double seconds) {
        if (seconds < 1e-3) {
            return format("%.3g µs", 1e6 * seconds);
        }
        return seconds < 1 ? format("%.3g ms", 1e3 * seconds) : format("%.3g s", seconds);
    }

    private static String format(String format, double value) {
        return String.format(Locale.ROOT, format, value);
    }
}
