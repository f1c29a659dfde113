module caller {
    requires io.github.backnorm;
}
