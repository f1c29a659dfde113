package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** README and docs say what is there. */
final class DocumentationTest {
    private static final Path README = Path.of("README.md");
    private static final Path GUIDE = Path.of("docs/guide.md");
    private static final Path EXAMPLES = Path.of("src/examples/java/io/github/backnorm/examples");
    private static final Pattern JAVA_BLOCK =
            Pattern.compile("^```java\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE);
    private static final Pattern MARKED_BLOCK =
            Pattern.compile("^<!-- run by \\.ci/run -->\n```[a-z]*\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE);
    private static final Pattern ANY_BLOCK = Pattern.compile("^```.*?^```$", Pattern.DOTALL | Pattern.MULTILINE);

    /** The target of a link or picture, in Markdown or HTML: a file, an anchor, or both. */
    private static final Pattern LINK =
            Pattern.compile("(?:\\]\\(|(?:href|src|srcset)=\")(?!https?://|mailto:)([^)#\\s\"]*)(?:#([^)\\s\"]+))?");

    private static final Pattern HEADING = Pattern.compile("^#+ +(.*)$", Pattern.MULTILINE);
    /** In a dependency of Maven or Gradle, or in the name of a jar */
    private static final Pattern VERSION =
            Pattern.compile("backnorm(?:</artifactId>\\s*<version>|[:-])(\\d+\\.\\d+\\.\\d+(?:-SNAPSHOT)?)");

    private static final Pattern JAVADOC_LINK = Pattern.compile("github\\.com/backnorm/backnorm/blob/main/([^\"]+)\"");

    /** A line of a block, or code in a sentence */
    private static final Pattern MAVEN_COMMAND =
            Pattern.compile("(?:^|`)(?:\\w+=\\S+ |taskset \\S+ \\S+ )*mvn ([^`\n#&;]+)", Pattern.MULTILINE);

    private static final Pattern WORD = Pattern.compile("(?:[^\\s\"]|\"[^\"]*\")+");
    private static final Set<String> PHASES = Set.of(
            "clean",
            "validate",
            "compile",
            "test-compile",
            "process-test-classes",
            "test",
            "package",
            "verify",
            "install",
            "deploy",
            "site");
    private static final Set<String> FLAGS = Set.of("-q", "-B", "-o");

    /** Properties of Maven's plugins; all others that a command sets must occur in the POM. */
    private static final Set<String> PLUGINS_PROPERTIES =
            Set.of("test", "skipTests", "surefire.failIfNoSpecifiedTests", "gpg.skip", "gpg.signer", "skipUpload");

    static List<Path> pages() {
        return Stream.concat(files(Path.of("docs"), ".md", README).stream(), files(Path.of(".github"), ".md").stream())
                .toList();
    }

    @Test
    void readme_sample_isQuickStartToTheLetter() {
        String quickStart = read(EXAMPLES.resolve("QuickStart.java"));
        assertThat(javaBlocks(README)).first().isEqualTo(quickStart.substring(quickStart.indexOf("import ")));
    }

    /** Each block stands in an example, or in a program for Spark, as it is, but for the indent. */
    @Test
    void page_javaBlocks_standInExamples() {
        List<String> examples = Stream.of(EXAMPLES, Path.of("src/spark/java/io/github/backnorm/spark"))
                .flatMap(folder -> files(folder, ".java").stream())
                .map(file -> withoutIndent(read(file)))
                .toList();
        assertThat(Stream.of(README, GUIDE).flatMap(page -> javaBlocks(page).stream()))
                .isNotEmpty()
                .allSatisfy(block -> assertThat(examples).anyMatch(source -> source.contains(withoutIndent(block))));
    }

    @ParameterizedTest
    @MethodSource("pages")
    void page_linksAndPictures_leadToFilesAndHeadings(Path page) {
        assertThat(LINK.matcher(withoutBlocks(page)).results()).as("%s", page).allSatisfy(link -> {
            Path file = link.group(1).isEmpty() ? page : page.resolveSibling(link.group(1));
            assertThat(file).exists();
            if (link.group(2) != null) {
                assertThat(anchors(file)).as("anchors of %s", file).contains(link.group(2));
            }
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"README.md", ".github/ISSUE_TEMPLATE/bug.yml"})
    void page_versions_areThatOfThePom(Path page) {
        String version = versions(Path.of("pom.xml")).get(0);
        assertThat(versions(page)).isNotEmpty().containsOnly(version);
    }

    private static List<String> versions(Path file) {
        return VERSION.matcher(read(file))
                .results()
                .map(match -> match.group(1))
                .toList();
    }

    @Test
    void javadoc_linksToRepository_leadToFiles() {
        List<String> links = files(Path.of("src/main/java/io/github/backnorm"), ".java").stream()
                .flatMap(file -> JAVADOC_LINK.matcher(read(file)).results())
                .map(link -> link.group(1))
                .toList();
        assertThat(links)
                .isNotEmpty()
                .allSatisfy(link -> assertThat(Path.of(link)).exists());
    }

    @ParameterizedTest
    @MethodSource("pages")
    void page_mavenCommands_nameWhatExists(Path page) {
        assertThat(MAVEN_COMMAND.matcher(read(page)).results())
                .as("%s", page)
                .allSatisfy(command -> assertThat(
                                WORD.matcher(command.group(1)).results().map(MatchResult::group))
                        .as("mvn %s", command.group(1))
                        .allSatisfy(DocumentationTest::requireExists));
    }

    private static void requireExists(String word) {
        String pom = read(Path.of("pom.xml"));
        if (word.startsWith("-P")) {
            assertThat(word.substring(2).split(","))
                    .allSatisfy(id -> assertThat(pom).contains("<id>" + id + "</id>"));
        } else if (word.startsWith("-D")) {
            String[] property = word.substring(2).split("=", 2);
            if (!PLUGINS_PROPERTIES.contains(property[0])) {
                assertThat(pom)
                        .containsAnyOf("<" + property[0] + ">", "<" + property[0] + "/>", "<name>" + property[0]);
            }
            switch (property[0]) {
                case "example" -> requireClass("examples." + property[1]);
                case "program" -> requireClass(property[1]);
                default -> {}
            }
        } else if (word.contains(":")) {
            String plugin = word.substring(0, word.indexOf(':'));
            assertThat(pom).containsAnyOf("<artifactId>maven-" + plugin + "-plugin<", ">" + plugin + "-maven-plugin<");
        } else {
            assertThat(Stream.concat(PHASES.stream(), FLAGS.stream())).contains(word);
        }
    }

    private static void requireClass(String name) {
        String file = "java/io/github/backnorm/" + name.replace('.', '/') + ".java";
        assertThat(Stream.of("src/test", "src/examples", "src/jcstress", "src/jmh", "src/spark", "src/spark-test"))
                .as("folder with %s", file)
                .anySatisfy(folder -> assertThat(Path.of(folder, file)).exists());
    }

    /** The headings as GitHub makes anchors of them: in lower case, with - for each blank, without punctuation. */
    private static List<String> anchors(Path page) {
        return HEADING.matcher(withoutBlocks(page))
                .results()
                .map(heading -> heading.group(1).toLowerCase(Locale.ROOT).strip())
                .map(heading -> heading.replaceAll("[^\\p{L}\\p{N} _-]", "").replace(' ', '-'))
                .toList();
    }

    private static String withoutBlocks(Path page) {
        return ANY_BLOCK.matcher(read(page)).replaceAll("");
    }

    /** Each column of tests names all tests of its class and no others. */
    @Test
    void derivation_tests_areThoseOfTheColumnsClass() {
        List<String[]> rows = read(Path.of("docs/derivation.md"))
                .lines()
                .dropWhile(line -> !line.startsWith("| equation |"))
                .takeWhile(line -> line.startsWith("|"))
                .map(line -> line.split("\\|"))
                .toList();
        assertThat(rows.get(0)[2]).contains("`DerivationTest`");
        assertThat(rows.get(0)[4]).contains("`EquationsTest`");
        List<String[]> equations = rows.subList(2, rows.size());
        assertThat(quoted(equations, 2)).isEqualTo(tests(DerivationTest.class));
        assertThat(quoted(equations, 4)).isEqualTo(tests(EquationsTest.class));
    }

    private static Set<String> quoted(List<String[]> rows, int column) {
        return rows.stream()
                .flatMap(
                        row -> Pattern.compile("`([^`]*)`").matcher(row[column]).results())
                .map(match -> match.group(1))
                .collect(Collectors.toSet());
    }

    private static Set<String> tests(Class<?> type) {
        return Arrays.stream(type.getDeclaredMethods())
                .filter(method ->
                        method.isAnnotationPresent(Test.class) || method.isAnnotationPresent(ParameterizedTest.class))
                .map(Method::getName)
                .collect(Collectors.toSet());
    }

    @Test
    void readme_markedCommands_runDigitsThenTests() {
        assertThat(blocks(MARKED_BLOCK, README)).containsExactly("mvn -q test-compile exec:exec\n", "mvn verify\n");
    }

    private static List<String> javaBlocks(Path page) {
        return blocks(JAVA_BLOCK, page);
    }

    private static List<String> blocks(Pattern pattern, Path page) {
        return pattern.matcher(read(page))
                .results()
                .map((MatchResult match) -> match.group(1))
                .toList();
    }

    private static String withoutIndent(String code) {
        return code.lines().map(String::strip).reduce("\n", (all, line) -> all + line + "\n");
    }

    private static List<Path> files(Path folder, String ending, Path... more) {
        try (Stream<Path> files = Files.list(folder)) {
            return Stream.concat(
                            Stream.of(more),
                            files.filter(file -> file.toString().endsWith(ending)))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
