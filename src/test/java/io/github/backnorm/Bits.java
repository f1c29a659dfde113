package io.github.backnorm;

import static java.util.stream.Collectors.joining;

import io.github.backnorm.internal.ChildJvm;
import io.github.backnorm.internal.Execution;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Trains networks in JVMs with many set-ups, each with the SIMD module and without, and prints a table of the bits:
 * digests of all that was computed. It fails if one is not the expected one. What this JVM or processor does not have
 * is left out, or has no effect, as the column of the kernels shows.
 */
final class Bits {
    private static final String KERNELS = "kernels: ";
    private static final int SHOWN = 8; // digits of a digest
    private static final String VECTOR = "--add-modules=jdk.incubator.vector";

    /** In these, a fused multiply-add takes thousands of times as long. */
    private static final Set<String> WITHOUT_FMA = Set.of("-XX:-UseFMA", "-XX:UseAVX=0", "-XX:UseAVX=1");

    private static final List<String> SETUPS = List.of(
            "",
            "-XX:+UseSerialGC",
            "-XX:+UseParallelGC",
            "-XX:+UseG1GC",
            "-XX:+UseZGC",
            "-XX:+UseShenandoahGC",
            "-Xint",
            "-XX:TieredStopAtLevel=1",
            "-XX:-TieredCompilation",
            "-XX:-UseSuperWord",
            "-XX:-UseFMA",
            "-XX:UseAVX=0",
            "-XX:UseAVX=1",
            "-XX:UseAVX=2",
            "-XX:UseAVX=3",
            "-XX:MaxVectorSize=16",
            "-Xmx160m",
            "-Xms1g -Xmx1g",
            "-XX:-UseCompressedOops",
            "-Dbacknorm.threads=1",
            "-Dbacknorm.threads=2",
            "-Dbacknorm.threads=3",
            "-Dbacknorm.threads=7");

    /** What is computed; its digest is expected in every JVM, on every machine. */
    @SuppressWarnings("ImmutableEnumChecker") // the suppliers are methods without state
    private enum Run {
        SMALL(
                "0a0a40b3f088c702dc935f9a9ca3f5f27f08021298c4e1dd366bd970d72e6875",
                TrainingBitsTest::digestOfSmallBatches),
        ALL(TrainingBitsTest.EXPECTED, TrainingBitsTest::digest),
        SINGLE(TrainingBitsTest.EXPECTED_IN_SINGLE_PRECISION, TrainingBitsTest::digestInSinglePrecision),
        IN_BLOCKS(TrainingBitsTest.EXPECTED_IN_BLOCKS, TrainingBitsTest::digestInBlocks);

        private final String expected;
        private final Supplier<String> digest;

        Run(String expected, Supplier<String> digest) {
            this.expected = expected;
            this.digest = digest;
        }
    }

    private Bits() {}

    /** Prints the kernels of its JVM and the digests of the runs that the arguments name. */
    static final class Child {
        private Child() {}

        public static void main(String[] args) {
            System.out.println(KERNELS + Execution.chosen());
            for (String name : args) {
                System.out.println(name + " " + Run.valueOf(name).digest.get());
            }
        }
    }

    public static void main(String[] args) {
        int jvms = 0;
        List<String> others = new ArrayList<>();
        System.out.println(
                "| set-up | " + Arrays.stream(Run.values()).map(Run::name).collect(joining(" | "))
                        + " | kernels |\n|---|" + "---|".repeat(Run.values().length + 1));
        for (String setup : SETUPS) {
            for (String module : List.of("", VECTOR)) {
                String row = row(setup, (setup + " " + module).strip(), others);
                jvms += row.isEmpty() ? 0 : 1;
                System.out.print(row);
            }
        }
        System.out.println(jvms + " JVMs; digests other than expected: " + (others.isEmpty() ? "none" : others));
        if (jvms == 0 || !others.isEmpty()) {
            throw new IllegalStateException("the bits are not the same everywhere");
        }
    }

    /** A row of the table, as a line; empty if there is no such JVM. Adds to {@code others} what is not expected. */
    private static String row(String setup, String options, List<String> others) {
        List<Run> runs = WITHOUT_FMA.contains(setup) ? List.of(Run.SMALL) : List.of(Run.values());
        List<String> lines = child(options, runs);
        if (lines.isEmpty()) {
            return "";
        }
        StringBuilder row = new StringBuilder("| `" + options + "` |");
        for (Run run : Run.values()) {
            String digest = only(lines, run.name() + " ");
            if (runs.contains(run) && !digest.equals(run.expected)) {
                others.add((options + " " + run + " " + digest).strip());
            }
            row.append(" ")
                    .append(digest.isEmpty() ? "–" : digest.substring(0, SHOWN))
                    .append(" |");
        }
        return row.append(" ")
                .append(only(lines, KERNELS))
                .append(" |%n".formatted())
                .toString();
    }

    /** What the child prints; nothing if it could not have such a garbage collector. */
    private static List<String> child(String options, List<Run> runs) {
        List<String> arguments = new ArrayList<>(List.of(
                "-XX:+IgnoreUnrecognizedVMOptions",
                "-Djava.util.concurrent.ForkJoinPool.common.parallelism=7",
                "-classpath",
                System.getProperty("java.class.path")));
        arguments.addAll(options.isEmpty() ? List.of() : List.of(options.split(" ")));
        arguments.add(Child.class.getName());
        runs.forEach(run -> arguments.add(run.name()));
        try {
            return ChildJvm.start(arguments).lines();
        } catch (AssertionError failed) {
            if (failed.getMessage().contains("GC not supported")) {
                return List.of();
            }
            throw failed;
        }
    }

    /** The line with this beginning, without it; empty if there is none. */
    private static String only(List<String> lines, String beginning) {
        return lines.stream()
                .filter(line -> line.startsWith(beginning))
                .map(line -> line.substring(beginning.length()))
                .findFirst()
                .orElse("");
    }
}
