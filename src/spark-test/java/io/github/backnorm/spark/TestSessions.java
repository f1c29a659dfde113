package io.github.backnorm.spark;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.sql.SparkSession;

/**
 * Sessions for the tests. A JVM has one at a time: a test class opens it in {@code @BeforeAll} and closes it in
 * {@code @AfterAll}.
 */
public final class TestSessions {
    /** The jars that Maven has packed, and users get. */
    static final Path LIBRARY = Path.of(System.getProperty("backnorm.jar"));

    static final Path SPARK = Path.of(System.getProperty("backnorm.spark.jar"));

    private TestSessions() {}

    /** Tasks run on two threads of this JVM. */
    static SparkSession local() {
        return builder("local[2]").getOrCreate();
    }

    /** The same, with so many partitions where nothing else is said. */
    static SparkSession local(int parallelism) {
        return builder("local[2]")
                .config("spark.default.parallelism", parallelism)
                .getOrCreate();
    }

    /**
     * {@return a session whose tasks run in executors, JVMs of their own with a thread each and 1 GiB} They get Spark
     * from this JVM's class path and our classes from the two jars, as on a cluster. They do not have the tests' own
     * classes.
     *
     * @param executors how many
     * @param options further ones for Spark
     * @throws IOException if there is no folder for a home of Spark
     */
    public static SparkSession cluster(int executors, Map<String, String> options) throws IOException {
        Files.createDirectories(Path.of(System.getenv("SPARK_HOME"), "jars")); // empty: Spark's launcher looks for it
        String spark = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> entry.endsWith(".jar"))
                .collect(Collectors.joining(File.pathSeparator));
        SparkSession.Builder builder = builder("local-cluster[" + executors + ",1,1024]")
                .config("spark.executor.extraClassPath", spark)
                .config("spark.jars", LIBRARY + "," + SPARK);
        options.forEach(builder::config);
        return builder.getOrCreate();
    }

    /** Kills an executor's JVM: the one that is the oldest. */
    static void haltAnExecutor() {
        ProcessHandle.current()
                .descendants()
                .filter(process -> process.info().command().orElse("").endsWith("java"))
                .findFirst()
                .orElseThrow()
                .destroyForcibly();
    }

    private static SparkSession.Builder builder(String master) {
        return SparkSession.builder()
                .master(master)
                .appName("tests")
                .config("spark.ui.enabled", false)
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.sql.shuffle.partitions", 3);
    }
}
