package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.array_max;
import static org.apache.spark.sql.functions.array_position;
import static org.apache.spark.sql.functions.avg;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.lit;
import static org.apache.spark.sql.functions.max;
import static org.apache.spark.sql.functions.not;
import static org.apache.spark.sql.functions.pmod;
import static org.apache.spark.sql.functions.when;
import static org.apache.spark.sql.functions.xxhash64;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.jline.terminal.TerminalBuilder;
import org.jline.terminal.spi.SystemStream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Trains a classifier on the rows of a table. */
@Command(
        name = "TrainOnSpark",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = "Trains a classifier on a table in Parquet or CSV, batch norm over whole batches.")
public final class TrainOnSpark implements Callable<Integer> {
    private static final String DIGITS = "src/examples/resources/io/github/backnorm/examples/digits.csv.gz";

    /** A fifth of the rows, chosen by a hash of their numbers, is for the test. */
    private static final int TEST = 5;

    @Option(names = "--rows", description = "Parquet, or CSV without a header, whose columns are _c0, _c1, …")
    private String rows = DIGITS;

    @Option(names = "--label", description = "The column with the class of a row, 0, 1, …")
    private String label = "_c64";

    @Option(names = "--features", split = ",", description = "Default: all columns but label and ids.")
    private List<String> features = List.of();

    @Option(names = "--ids", description = "A column that tells equal rows apart.")
    private String ids;

    @Option(names = "--layers", split = ",", description = "Widths of the hidden layers.")
    private List<Integer> layers = List.of(100, 100);

    @Option(names = "--rate", description = "Adam's learning rate.")
    private double rate = 0.003;

    @Option(names = "--epochs", description = "How often the rows are gone through.")
    private int epochs = 10;

    @Option(names = "--block", description = "Rows of a block, about.")
    private int rowsInBlock = 32;

    @Option(names = "--blocks", description = "Blocks of a batch.")
    private int blocksInBatch = 4;

    @Option(names = "--seed", description = "Of the weights and of the order of the rows.")
    private long seed = 1;

    @Option(names = "--model", description = "Where the trained network goes: a safetensors file.")
    private Path model;

    @Option(names = "--checkpoint", description = "A folder; a run that was stopped goes on from what is there.")
    private Path checkpoint;

    @Option(names = "--every", description = "Steps from one checkpoint to the next.")
    private int every = 50;

    @Option(names = "--master", description = "Default: that of spark-submit, or local[*].")
    private String master;

    @Spec
    private CommandSpec spec;

    private TrainOnSpark() {}

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
        return new CommandLine(new TrainOnSpark()).setExecutionExceptionHandler((failure, commandLine, parsed) -> {
            commandLine.getErr().println("TrainOnSpark: " + Sessions.reason(failure));
            return 1;
        });
    }

    @Override
    public Integer call() throws IOException {
        try (SparkSession spark = Sessions.open("TrainOnSpark", master)) {
            Dataset<Row> table = read(spark);
            String[] columns = table.columns();
            String[] x = features.isEmpty()
                    ? Stream.of(columns)
                            .filter(name -> !name.equals(label) && !name.equals(ids))
                            .toArray(String[]::new)
                    : features.toArray(String[]::new);
            Column isForTest = pmod(
                            xxhash64(Stream.of(columns).map(TrainOnSpark::named).toArray(Column[]::new)), lit(TEST))
                    .equalTo(0);
            Dataset<Row> training = table.where(not(isForTest)).cache();
            Blocks blocks = new Blocks(training, rowsInBlock, blocksInBatch, List.of(label), x);
            blocks = ids == null ? blocks : blocks.withIds(ids);
            Run run = new Run(network(x.length, classes(training)), Optimizer.adam(rate));
            train(blocks, run);
            double accuracy = accuracy(run.network, table.where(isForTest), x);
            if (model != null) {
                PyTorch.stateDict(run.network).writeTo(model);
            }
            out().printf(
                            Locale.ROOT,
                            "test accuracy %.1f %%%nmodel %s%n",
                            100 * accuracy,
                            new Model(run.network, "TrainOnSpark").digest());
        }
        return 0;
    }

    private PrintWriter out() {
        return spec.commandLine().getOut();
    }

    private Dataset<Row> read(SparkSession spark) {
        return rows.endsWith(".csv") || rows.endsWith(".csv.gz")
                ? spark.read().option("inferSchema", true).csv(rows)
                : spark.read().parquet(rows);
    }

    /** A column whose name may have dots. */
    private static Column named(String name) {
        return col("`" + name.replace("`", "``") + "`");
    }

    /** On standard error, if somebody looks on. */
    private static ProgressBar bar(String task, int steps) {
        ProgressBarBuilder bar = ProgressBar.builder().setTaskName(task).setInitialMax(steps);
        boolean terminal = TerminalBuilder.builder().getProviders(null, new IllegalStateException()).stream()
                .anyMatch(provider -> provider.isSystemStream(SystemStream.Error));
        if (!terminal) {
            bar.setConsumer(new DelegatingProgressBarConsumer(text -> {}));
        }
        return bar.build();
    }

    /** The largest label, and one. */
    private int classes(Dataset<Row> training) {
        Column largest = max(named(label).cast(DataTypes.IntegerType));
        return 1 + training.select(largest).head().getInt(0);
    }

    /** Batch norm first: it scales the features. */
    private Network network(int inputs, int classes) {
        Random random = new Random(seed);
        List<Layer> made = new ArrayList<>(List.of(new BatchNorm(inputs)));
        int last = inputs;
        for (int width : layers) {
            made.add(new Affine(last, width, random).withoutBias());
            made.add(new BatchNorm(width));
            made.add(new ReLU());
            last = width;
        }
        made.add(Affine.outputLayer(last, classes, random));
        return new Network(made.toArray(Layer[]::new));
    }

    private void train(Blocks blocks, Run run) throws IOException {
        run.resume();
        while (run.epoch <= epochs) {
            double sum = 0;
            int steps = 0;
            try (Epoch batches = blocks.epoch(run.epoch, seed);
                    ProgressBar bar = bar("epoch " + run.epoch, batches.size())) {
                for (bar.stepTo(run.batch); run.batch < batches.size(); bar.step()) {
                    double loss = batches.differentiate(run.batch, run.network, BlockLoss.ofClasses());
                    run.optimizer.step(run.network.parameters());
                    run.batch++;
                    sum += loss;
                    steps++;
                    bar.setExtraMessage(String.format(Locale.ROOT, "loss %.4f", loss));
                    if (run.batch % every == 0) {
                        run.save();
                    }
                }
            }
            if (steps > 0) { // none is left where a run was stopped just before this
                out().printf(Locale.ROOT, "epoch %d, loss %.4f%n", run.epoch, sum / steps);
            }
            run.epoch++;
            run.batch = 0;
            run.save();
        }
    }

    /** The part of the rows whose largest score is that of their label. */
    private double accuracy(Network network, Dataset<Row> rows, String... x) {
        Dataset<Row> scored = new Scorer(network).score(rows, "scores of classes", x);
        Column scores = scored.col("scores of classes");
        Column predicted = array_position(scores, array_max(scores)).minus(1);
        Column right = when(predicted.equalTo(named(label)), 1.0).otherwise(0.0);
        return scored.select(avg(right)).head().getDouble(0);
    }

    /** A network in training, and the batch that comes next. */
    private final class Run {
        private final Network network;
        private final Optimizer optimizer;
        private int epoch = 1;
        private int batch;

        Run(Network network, Optimizer optimizer) {
            this.network = network;
            this.optimizer = optimizer;
        }

        private Path file() {
            return checkpoint.resolve("checkpoint.safetensors");
        }

        /** What decides on the bits of a run, apart from the rows. */
        private String options() {
            return "seed %d, rate %s, layers %s, block %d, blocks %d, label %s, features %s, ids %s"
                    .formatted(seed, rate, layers, rowsInBlock, blocksInBatch, label, features, ids);
        }

        void save() throws IOException {
            if (checkpoint != null) {
                Map<String, Matrix> state = new HashMap<>();
                network.state().forEach((name, matrix) -> state.put("network." + name, matrix));
                optimizer.state(network).forEach((name, matrix) -> state.put("optimizer." + name, matrix));
                Safetensors.of(state)
                        .withMetadata("epoch", "" + epoch)
                        .withMetadata("batch", "" + batch)
                        .withMetadata("options", options())
                        .writeTo(file());
            }
        }

        void resume() throws IOException {
            if (checkpoint == null) {
                return;
            }
            Files.createDirectories(checkpoint);
            if (!Files.exists(file())) {
                return;
            }
            Safetensors saved = Safetensors.read(file());
            String options = saved.metadata().get("options");
            if (!options().equals(options)) {
                throw new IllegalArgumentException("TrainOnSpark: " + file() + " is of a run with " + options
                        + ", expected " + options() + "; choose another folder");
            }
            network.restore(part("network.", saved));
            optimizer.restore(network, part("optimizer.", saved));
            epoch = Integer.parseInt(saved.metadata().get("epoch"));
            batch = Integer.parseInt(saved.metadata().get("batch"));
        }

        private static Map<String, Matrix> part(String prefix, Safetensors saved) {
            return saved.state().entrySet().stream()
                    .filter(entry -> entry.getKey().startsWith(prefix))
                    .collect(Collectors.toMap(entry -> entry.getKey().substring(prefix.length()), Map.Entry::getValue));
        }
    }
}
