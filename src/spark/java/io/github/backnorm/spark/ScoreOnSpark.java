package io.github.backnorm.spark;

import io.github.backnorm.Network;
import io.github.backnorm.PyTorch;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.io.InputStream;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Scores the rows of a Parquet table.
 * <pre>{@code
 * ScoreOnSpark --input rows.parquet --model model.safetensors --features age,height,weight --output scored.parquet
 * }</pre>
 *
 * <p>{@code --help} lists the options. Files are named as Spark names them, such as {@code hdfs://…}.
 */
@Command(
        name = "ScoreOnSpark",
        description = "Adds a network's scores to the rows of a Parquet table.",
        showDefaultValues = true,
        sortOptions = false)
public final class ScoreOnSpark implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Option(names = "--input", required = true, paramLabel = "<path>", description = "the table, in Parquet")
    private String input;

    @Option(
            names = "--model",
            required = true,
            paramLabel = "<file>",
            description = "the network: safetensors with an entry modules, as PyTorch.stateDict writes them")
    private String model;

    @Option(names = "--output", required = true, paramLabel = "<path>", description = "a new folder, for Parquet")
    private String output;

    @Option(
            names = "--features",
            split = ",",
            defaultValue = "features",
            paramLabel = "<column>",
            description = "numeric columns in the order of the network's inputs, or one of arrays or ML vectors")
    private String[] features;

    @Option(
            names = "--scores",
            defaultValue = "scores",
            paramLabel = "<column>",
            description = "the name of the new column")
    private String scores;

    @Option(
            names = "--modules",
            paramLabel = "<text>",
            description = "the network's modules as print(model) shows them in Python, if the file does not say them")
    private String modules;

    @Option(
            names = "--unfolded",
            description = "keep the batch norms by themselves: slower, and to the bit what the network itself computes")
    private boolean unfolded;

    @Option(
            names = "--master",
            paramLabel = "<url>",
            description = "where to run; default: what spark-submit says, else all cores of this machine")
    private String master;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "say this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    private ScoreOnSpark() {}

    /**
     * Runs the program, which ends this JVM with exit code 1 if it fails and 2 if an option is wrong.
     *
     * @param args the options
     */
    public static void main(String[] args) {
        int code = commandLine().execute(args);
        if (code != 0) {
            System.exit(code);
        }
    }

    static CommandLine commandLine() {
        return new CommandLine(new ScoreOnSpark()).setExecutionExceptionHandler((failure, commandLine, parsed) -> {
            commandLine.getErr().println("ScoreOnSpark: " + Sessions.reason(failure));
            return 1;
        });
    }

    @Override
    public Integer call() throws IOException {
        try (SparkSession session = Sessions.open("ScoreOnSpark", master)) {
            Configuration hadoop = session.sparkContext().hadoopConfiguration();
            Path folder = new Path(output);
            FileSystem files = folder.getFileSystem(hadoop);
            if (files.exists(folder)) {
                throw new IllegalArgumentException("output " + output + " exists, expected a new folder");
            }
            Network network = read(new Path(model), hadoop);
            Dataset<Row> scored = new Scorer(unfolded ? network : network.folded())
                    .score(session.read().parquet(input), scores, features);
            boolean done = false;
            try {
                scored.write().parquet(output);
                done = true;
            } finally {
                if (!done) {
                    files.delete(folder, false); // Spark leaves it, empty
                }
            }
            long rows = session.read().parquet(output).count();
            spec.commandLine().getOut().printf(Locale.ROOT, "%d rows with scores in %s%n", rows, output);
        }
        return 0;
    }

    private Network read(Path file, Configuration hadoop) throws IOException {
        try (InputStream in = file.getFileSystem(hadoop).open(file)) {
            Safetensors content = Safetensors.read(in);
            return modules == null ? PyTorch.network(content) : PyTorch.network(content, modules);
        }
    }
}
