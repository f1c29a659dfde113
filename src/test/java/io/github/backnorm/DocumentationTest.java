package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** README and docs say what is there. */
final class DocumentationTest {
    private static final Path README = Path.of("README.md");
    private static final Path GUIDE = Path.of("docs/guide.md");
    private static final Path EXAMPLES = Path.of("src/examples/java/io/github/backnorm/examples");
    private static final Pattern JAVA_BLOCK =
            Pattern.compile("^```java\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE);
    private static final Pattern MARKED_BLOCK =
            Pattern.compile("^<!-- run by \\.ci/run -->\n```[a-z]*\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE);
    private static final Pattern LINK = Pattern.compile("\\]\\(([^)#\\s]+)[^)]*\\)");

    static List<Path> pages() {
        return files(Path.of("docs"), ".md", README);
    }

    @Test
    void readme_sample_isQuickStartToTheLetter() {
        String quickStart = read(EXAMPLES.resolve("QuickStart.java"));
        assertThat(javaBlocks(README)).containsExactly(quickStart.substring(quickStart.indexOf("import ")));
    }

    /** Each block stands in an example as it is, but for the indent. */
    @Test
    void guide_javaBlocks_standInExamples() {
        List<String> examples = files(EXAMPLES, ".java").stream()
                .map(file -> withoutIndent(read(file)))
                .toList();
        assertThat(javaBlocks(GUIDE))
                .isNotEmpty()
                .allSatisfy(block -> assertThat(examples).anyMatch(source -> source.contains(withoutIndent(block))));
    }

    @ParameterizedTest
    @MethodSource("pages")
    void page_links_leadToFiles(Path page) {
        List<String> links = LINK.matcher(read(page))
                .results()
                .map(match -> match.group(1))
                .filter(link -> !link.contains("://"))
                .toList();
        assertThat(links)
                .as("%s", page)
                .allSatisfy(link -> assertThat(page.resolveSibling(link)).exists());
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
